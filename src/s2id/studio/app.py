"""The studio as an application of FastAPI: its addresses, its page, and every error as one sentence in JSON."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from s2id.errors import InputError
from s2id.studio import guard
from s2id.studio.asking import add_asking, add_jobs, add_pictures
from s2id.studio.jobs import BusyError
from s2id.studio.made import add_fields
from s2id.studio.settings import MOST_PICTURES, MOST_RESULT, MOST_SIDE
from s2id.studio.state import Studio
from s2id.studio.watch import add_runs
from s2id.studio.zoom import add_zoom

_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

_PLAYER = "s2id-player.js"

_REFUSALS: dict[int | str, str] = {
    400: "What is asked for cannot be done.",
    401: "The token is missing or wrong.",
    403: "The studio is not known by this name, or a page of another site asks.",
    404: "It is not there, or was forgotten.",
    405: "The address has no such method.",
    408: "The request took too long to arrive.",
    413: "The request is too large.",
    503: "There is too much to do; Retry-After says when to try again.",
}
"""Statuses of refusals, and what they mean."""

_NO_JSON = "the request is no JSON in UTF-8; /openapi.json says what it holds."


def create_app(studio: Studio, hosts: Sequence[str] = ("testserver",), token: str | None = None) -> guard.Guard:
    """The application.

    Args:
        studio: What requests share.
        hosts: Values of the header Host that are served.
        token: Secret that clients must know; `None` asks for none.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.ensure_future(studio.warm())
        loading.add_done_callback(lambda one: one.cancelled() or one.exception())  # whoever asks next is told
        yield
        loading.cancel()
        studio.close()

    app = FastAPI(
        title="S2ID studio",
        version=version("s2id"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={status: {"model": Refusal, "description": meaning} for status, meaning in _REFUSALS.items()},
    )
    app.openapi = partial(_described, app)  # type: ignore[method-assign, unused-ignore]
    _add_errors(app)
    _add_page(app, token)
    _add_health(app, studio)
    for add in (add_asking, add_pictures, add_jobs, add_fields, add_runs, add_zoom):
        add(app, studio)
    return guard.Guard(app, hosts, token, studio.limits)


class Refusal(BaseModel):
    """What every refusal says."""

    error: str
    """One sentence."""


def _described(app: FastAPI) -> dict[str, Any]:
    """The description of the addresses for programs, without FastAPI's own form of refusals, which none has here."""
    if not app.openapi_schema:
        app.openapi_schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for path in app.openapi_schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
    return app.openapi_schema


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
        if first["type"] == "json_invalid":
            return said(400, _NO_JSON)
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
            sentence = "there is nothing here, or not by this method; /openapi.json lists what there is."
        if sentence == "There was an error parsing the body":  # no UTF-8, or too many lists in one another
            sentence = _NO_JSON
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


def _add_health(app: FastAPI, studio: Studio) -> None:
    @app.get("/health")
    async def _() -> dict[str, Any]:
        """Whether the studio serves, and how much it has to do."""
        queue = {"waiting": len(studio.queue), "running": int(studio.queue.running is not None)}
        limits = {
            "pictures": MOST_PICTURES,
            "side": MOST_SIDE,
            "upload_bytes": studio.limits.upload_megabytes * 2**20,
            "upload_pixels": studio.limits.upload_megapixels * 2**20,
            "result_pixels": MOST_RESULT,
            "picture_pixels": studio.limits.picture_megapixels * 2**20,
        }
        queue |= {"limit": studio.limits.queue}
        return {"ok": True, "version": app.version, "queue": queue, "limits": limits}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Content and media type of every file of the page, by its name."""
    own = {one.name: one for one in (files(__package__) / "page").iterdir()}
    own[_PLAYER] = files("s2id.export") / _PLAYER
    kinds = {name: _KINDS.get(name[name.rfind(".") :]) for name in own}
    return {name: (own[name].read_bytes(), f"{kind}; charset=utf-8") for name, kind in kinds.items() if kind}
