"""The studio as an application of FastAPI: which address does what. `Studio` holds all that requests share."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from s2id.errors import InputError
from s2id.studio import guard
from s2id.studio.drawing import Drawing
from s2id.studio.jobs import BusyError, Event, Job, Queue
from s2id.studio.requests import Compose, Seen
from s2id.studio.settings import MOST_PICTURES, MOST_SIDE, Limits
from s2id.studio.shelf import Shelf

if TYPE_CHECKING:
    from s2id.studio.compose import Drawn
    from s2id.studio.models import Library

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_PLAYER = "s2id-player.js"

_WHOLE = 2**20
"""Pixels up to which a picture is sent in one piece, with its length."""


def page_files() -> dict[str, tuple[bytes, str]]:
    """Content and media type of every file of the page, by its name."""
    own = {one.name: one for one in (files(__package__) / "page").iterdir()}
    own[_PLAYER] = files("s2id.export") / _PLAYER
    kinds = {name: _KINDS.get(name[name.rfind(".") :]) for name in own}
    return {name: (own[name].read_bytes(), f"{kind}; charset=utf-8") for name, kind in kinds.items() if kind}


class Studio:
    """What requests share: models, jobs, fields and pictures."""

    def __init__(self, sources: Sequence[str] = (), device: str = "cpu", limits: Limits | None = None) -> None:
        """A studio with the models of some sources, as `s2id.load` takes them; none stands for the bundled ones."""
        limits = self.limits = limits or Limits()
        self._sources, self._device = tuple(sources), device
        self.queue, self.drawing = Queue(limits.queue), Drawing()
        self.fields: Shelf[Drawn] = Shelf(limits.cache_megabytes * 2**20 // 2)
        self.pictures: Shelf[bytes] = Shelf(limits.cache_megabytes * 2**20 // 2)
        self._library: Library | None = None

    async def library(self) -> "Library":
        """The models; torch is imported and they are loaded by the first to ask, beside all other requests."""

        def load() -> "Library":
            from s2id.studio.models import Library

            library = Library(self._sources, self._device)
            library.offers()
            return library

        if self._library is None:
            self._library = await self.drawing.call(lambda: self._library or load())
        return self._library

    def start(self, work: Callable[[Job], dict[str, Any]]) -> dict[str, str]:
        """Add a job to the queue; the answer names it."""
        job = Job(work, self.limits.job_seconds)
        self.queue.add(job)
        return {"job": job.id}

    def field(self, name: str) -> "Drawn":
        """The field of an id."""
        return _found(self.fields.get(name), "field")

    async def left(self, job: Job) -> None:
        """Cancel a job that nobody follows any more."""
        await asyncio.sleep(self.limits.grace_seconds)
        if not job.followed and not job.ended:
            self.queue.cancel(job)

    def close(self) -> None:
        """End what is being done."""
        self.queue.close()
        self.drawing.close()


def create_app(studio: Studio, hosts: Sequence[str] = ("testserver",), token: str | None = None) -> guard.Guard:
    """The application.

    Args:
        studio: What requests share.
        hosts: Values of the header Host that are served.
        token: Secret that clients must know; `None` asks for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.ensure_future(studio.library())  # while the page is opened
        loading.add_done_callback(lambda one: one.cancelled() or one.exception())  # whoever asks next is told
        yield
        loading.cancel()
        studio.close()

    app = FastAPI(title="S2ID studio", version=version("s2id"), lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_errors(app)
    _add_page(app, token)
    _add_asking(app, studio)
    _add_jobs(app, studio)
    _add_fields(app, studio)
    return guard.Guard(app, hosts, token, studio.limits)


def _add_errors(app: FastAPI) -> None:
    """Make every error one sentence in JSON."""

    def said(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"error": sentence}, status, headers)

    @app.exception_handler(InputError)
    async def _(_: Request, error: InputError) -> JSONResponse:
        return said(400, str(error))

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])[:100] or "the request"
        return said(400, f"{where} is not as /openapi.json says: {first['msg'].lower()}.")

    @app.exception_handler(BusyError)
    async def _(_: Request, error: BusyError) -> JSONResponse:
        later = {"retry-after": str(error.seconds)}
        return said(503, "the studio has as much to do as it takes; try again soon.", later)

    @app.exception_handler(HTTPException)
    async def _(_: Request, error: HTTPException) -> JSONResponse:
        sentence = str(error.detail)
        if sentence in ("Not Found", "Method Not Allowed"):
            sentence = "there is nothing here; /openapi.json lists what there is."
        return said(error.status_code, sentence, dict(error.headers or {}))


class Login(BaseModel):
    """What the page sends first, where the studio asks for a token."""

    token: str


def _add_page(app: FastAPI, token: str | None) -> None:
    own = page_files()

    def answer(name: str) -> Response:
        if name not in own:
            raise HTTPException(404, "there is no such file; open / for the studio's page.")
        content, kind = own[name]
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    @app.get("/", include_in_schema=False)
    async def _() -> Response:
        return answer("index.html")

    @app.get("/studio/{name}", include_in_schema=False)
    async def _(name: str) -> Response:
        return answer(name)

    @app.post("/api/login", status_code=204)
    async def _(login: Login) -> Response:
        """Exchange the token for a cookie, which pictures and events need."""
        if token is not None and not guard.same(login.token, token):
            raise HTTPException(401, "this is not the studio's token; open the address that it printed.")
        answer = Response(status_code=204)
        if token is not None:
            answer.set_cookie(guard.COOKIE, token, httponly=True, samesite="strict")
        return answer


def _add_asking(app: FastAPI, studio: Studio) -> None:
    @app.get("/health")
    async def _() -> dict[str, Any]:
        """Whether the studio serves, and how much it has to do."""
        queue = {"waiting": len(studio.queue), "running": int(studio.queue.running is not None)}
        limits = {
            "pictures": MOST_PICTURES,
            "side": MOST_SIDE,
            "upload_bytes": studio.limits.upload_megabytes * 2**20,
            "upload_pixels": studio.limits.upload_megapixels * 2**20,
            "picture_pixels": studio.limits.picture_megapixels * 2**20,
        }
        queue |= {"limit": studio.limits.queue}
        return {"ok": True, "version": app.version, "queue": queue, "limits": limits}

    @app.get("/api/models")
    async def _() -> list[dict[str, Any]]:
        """Every model, with what it can do, what it knows and which settings it has."""
        library = await studio.library()
        return [offer.facts for offer in library.offers().values()]

    @app.post("/api/compose", status_code=202)
    async def _(asked: Compose) -> dict[str, str]:
        """Begin to compose a sheet of pictures."""
        library = await studio.library()
        from s2id.studio.compose import compose

        return studio.start(compose(library.get(asked.model, "compose"), asked, studio.fields))


def _add_jobs(app: FastAPI, studio: Studio) -> None:
    def job_of(name: str) -> Job:
        return _found(studio.queue.get(name), "job")

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


def _add_fields(app: FastAPI, studio: Studio) -> None:
    @app.get("/api/fields/{name}.png", response_class=Response)
    async def _(name: str, view: Annotated[Seen, Query()]) -> Response:
        """The field's picture at a size, or of a window."""
        drawn = studio.field(name)
        size, window = view.size(drawn.size), view.region
        most = studio.limits.picture_megapixels * 2**20
        parts = await studio.drawing.call(lambda: drawn.field.png(size, window, view.fit, most, view.look))
        return await _picture(studio, parts, size[0] * size[1])

    @app.get("/api/fields/{name}/recipe")
    async def _(name: str, view: Annotated[Seen, Query()]) -> dict[str, str]:
        """A command and a program that make the same bytes as the field's address with the same query."""
        drawn = studio.field(name)
        if drawn.sheet is None:
            raise HTTPException(404, "this field came with a picture; take that picture's command.")
        from s2id.studio.commands import View

        recipe = drawn.sheet.one(drawn.index, view.form, View(view.size(drawn.size), view.region, view.fit, view.look))
        return asdict(recipe)

    @app.get("/api/fields/{name}.{form}", response_class=Response)
    async def _(name: str, form: Annotated[Literal["safetensors", "html"], Path()]) -> Response:
        """The field as a file for `s2id.Field.load`, or as a page that needs nothing else."""
        drawn = studio.field(name)
        from s2id.forms import FORMS

        make = drawn.field.file_bytes if form == "safetensors" else lambda: FORMS[".html"](drawn.field)
        content = await studio.drawing.call(make)
        kind = "text/html; charset=utf-8" if form == "html" else "application/octet-stream"
        headers = {"content-disposition": f'attachment; filename="picture.{form}"'}
        return Response(content, media_type=kind, headers=headers)

    @app.get("/api/pictures/{name}.png", response_class=Response)
    async def _(name: str) -> Response:
        """A picture that a job made."""
        return Response(_found(studio.pictures.get(name), "picture"), media_type="image/png")


async def _picture(studio: Studio, parts: Any, pixels: int) -> Response:  # noqa: ANN401
    """A PNG file: a small one in one piece, a large one strip by strip."""
    headers = {"cache-control": "private, max-age=3600"}
    if pixels <= _WHOLE:
        content = await studio.drawing.call(lambda: b"".join(parts))
        return Response(content, media_type="image/png", headers=headers)
    return StreamingResponse(studio.drawing.strips(parts), media_type="image/png", headers=headers)


def _found(thing: Any, what: str) -> Any:  # noqa: ANN401  (what is looked for)
    """What was looked for.

    Raises:
        HTTPException: It is not there.
    """
    if thing is None:
        raise HTTPException(404, f"there is no such {what}, or it was forgotten to make room; make it again.")
    return thing


def _sent(event: Event | None) -> bytes:
    """An event as browsers read it; `None` keeps the connection open."""
    if event is None:
        return b": nothing new\n\n"
    return f"id: {event.number}\nevent: {event.name}\ndata: {json.dumps(event.data)}\n\n".encode()
