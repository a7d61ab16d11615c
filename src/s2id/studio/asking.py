"""The addresses at which clients ask for pictures and follow what becomes of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from s2id.studio.forms import described, one_of, read_form
from s2id.studio.jobs import Event, Job
from s2id.studio.requests import Compose, Depixelate, Morph, Restore, Upscale
from s2id.studio.state import Studio, found

if TYPE_CHECKING:
    from s2id.studio.restoring import Shelves


def add_asking(app: FastAPI, studio: Studio) -> None:
    """Add the addresses of models and of composing."""

    @app.get("/api/models")
    async def _() -> list[dict[str, Any]]:
        """Every model, with what it can do, what it knows and which settings it has."""
        library = await studio.library()
        return [offer.facts for offer in library.offers.values()]

    @app.post("/api/compose", status_code=202)
    async def _(asked: Compose) -> dict[str, str]:
        """Begin to compose a sheet of pictures."""
        offer = await studio.offer(asked.model, "compose")
        from s2id.studio.compose import compose

        return studio.start(compose(offer, asked, studio.fields))

    @app.post("/api/morph", status_code=202)
    async def _(asked: Morph) -> dict[str, str]:
        """Begin to compose the way from one picture of a sheet to another."""
        start, end = studio.field(asked.start), studio.field(asked.end)
        offer = await studio.offer((await studio.library()).named(start.origin.source), "compose")
        from s2id.studio.morph import morphing

        return studio.start(morphing(offer, start, end, asked.frames, studio.fields))


def add_pictures(app: FastAPI, studio: Studio) -> None:
    """The addresses that take pictures."""

    def shelves() -> "Shelves":
        from s2id.studio.restoring import Shelves

        return Shelves(studio.fields, studio.pictures)

    @app.post("/api/upscale", status_code=202, openapi_extra=described(Upscale, "picture"))
    async def _(request: Request) -> dict[str, str]:
        """Begin to enlarge a picture."""
        asked, files = await read_form(request, Upscale, "picture")
        offer = await studio.offer(asked.model, "upscale")
        file = one_of(files["picture"], "picture")
        from s2id.studio.restoring import upscaling

        picture = await studio.read(lambda reader: reader.picture(file))
        return studio.start(upscaling(offer, asked, picture, file, shelves()), 4 * picture.numel())

    @app.post("/api/restore", status_code=202, openapi_extra=described(Restore, "picture", "mask?"))
    async def _(request: Request) -> dict[str, str]:
        """Begin to draw what a poor picture may have been; a mask is white where the picture is known."""
        asked, files = await read_form(request, Restore, "picture", "mask")
        offer = await studio.offer(asked.model, "restore")
        file = one_of(files["picture"], "picture")
        hole = one_of(files["mask"], "mask") if files["mask"] else None
        from s2id.studio.commands import Files
        from s2id.studio.restoring import restoration

        picture = await studio.read(lambda reader: reader.picture(file))
        mask = await studio.read(lambda reader: reader.picture(hole, 1)) if hole else None
        names = Files(file.name, hole.name if hole else None)
        return studio.start(restoration(offer, asked, picture, mask, names, shelves()), 4 * picture.numel())

    @app.post("/api/depixelate", status_code=202, openapi_extra=described(Depixelate, "files*"))
    async def _(request: Request) -> dict[str, str]:
        """Begin to make one sharp picture of the frames of a moving camera: an animation, or several pictures."""
        asked, files = await read_form(request, Depixelate, "files")
        offer = None if asked.model is None else await studio.offer(asked.model, "depixelate")
        given = files["files"]
        frames = await studio.read(lambda reader: reader.frames(given))
        name = given[0].name if len(given) == 1 else "frames"
        from s2id.studio.restoring import depixelation

        return studio.start(depixelation(offer, asked, frames, name, shelves()), 4 * frames.numel())


def add_jobs(app: FastAPI, studio: Studio) -> None:
    """Add the addresses of jobs."""

    def job_of(name: str) -> Job:
        return found(studio.queue.get(name), "job")

    @app.get("/api/jobs/{name}")
    async def _(name: str) -> dict[str, Any]:
        """The state of a job: waiting, running, done, failed or cancelled."""
        job = job_of(name)
        return {"job": name, "state": job.state, "events": job.events[-1].number if job.events else 0}

    @app.delete("/api/jobs/{name}", status_code=204)
    async def _(name: str) -> Response:
        """Cancel a job."""
        studio.queue.cancel(job_of(name))
        return Response(status_code=204)

    @app.get("/api/jobs/{name}/events", response_class=StreamingResponse)
    async def _(name: str, request: Request) -> StreamingResponse:
        """The events of a job, from its beginning or after Last-Event-ID, as server-sent events."""
        job, after = job_of(name), request.headers.get("last-event-id", "")

        async def stream() -> AsyncIterator[bytes]:
            try:
                async for event in job.follow(int(after[:9]) if after.isdecimal() else 0):
                    yield _sent(event)
            finally:
                if not job.ended:
                    asyncio.get_running_loop().create_task(studio.left(job))

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _sent(event: Event | None) -> bytes:
    """An event as browsers read it; `None` keeps the connection open."""
    if event is None:
        return b": nothing new\n\n"
    return f"id: {event.number}\nevent: {event.name}\ndata: {json.dumps(event.data)}\n\n".encode()
