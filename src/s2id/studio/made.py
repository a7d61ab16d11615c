"""The addresses of what was made: fields as pictures of any size and as files, and finished pictures."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import FastAPI, Path, Query, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from s2id.studio.requests import Seen
from s2id.studio.state import Studio, found

_WHOLE = 2**20
"""Pixels up to which a picture is sent in one piece, with its length."""


def add_fields(app: FastAPI, studio: Studio) -> None:
    """Add the addresses of fields and pictures."""

    @app.get("/api/fields/{name}.png", response_class=Response)
    async def _(name: str, view: Annotated[Seen, Query()]) -> Response:
        """The field's picture at a size, or of a window."""
        drawn = studio.picture(name)
        size, window = view.size(drawn.size), view.region
        most = studio.limits.picture_megapixels * 2**20
        parts = await studio.drawing.call(lambda: drawn.field.png(size, window, view.fit, most, view.look))
        return await _picture(studio, parts, size[0] * size[1])

    @app.get("/api/fields/{name}/recipe")
    async def _(name: str, view: Annotated[Seen, Query()]) -> dict[str, str]:
        """A command and a program that make the same bytes as the field's address with the same query."""
        drawn = studio.field(name)
        if drawn.way is not None and view.form in ("html", "gif"):
            return asdict(drawn.way.recipe(view.form, view.size(drawn.size)))
        drawn = studio.picture(name)
        if drawn.sheet is None or view.form == "gif":
            raise HTTPException(404, "this field came with a picture; take that picture's command.")
        from s2id.studio.commands import View

        recipe = drawn.sheet.one(drawn.index, view.form, View(view.size(drawn.size), view.region, view.fit, view.look))
        return asdict(recipe)

    @app.get("/api/fields/{name}.gif", response_class=Response)
    async def _(name: str, view: Annotated[Seen, Query()]) -> Response:
        """The film of a way, at a size."""
        drawn = studio.field(name)
        way, size = found(drawn.way, "way"), view.size(drawn.size)
        most = studio.limits.picture_megapixels * 2**20
        content = await studio.drawing.call(lambda: way.file("gif", size, most))
        return Response(content, media_type="image/gif")

    @app.get("/api/fields/{name}.{form}", response_class=Response)
    async def _(name: str, form: Annotated[Literal["safetensors", "html"], Path()]) -> Response:
        """The field as a file for `s2id.Field.load`, or as a page that needs nothing else."""
        drawn = studio.field(name)
        from s2id.forms import FORMS

        way = drawn.way
        page = (lambda: way.file("html", drawn.size, 0)) if way else lambda: FORMS[".html"](drawn.field)
        make = drawn.field.file_bytes if form == "safetensors" else page
        content = await studio.drawing.call(make)
        kind = "text/html; charset=utf-8" if form == "html" else "application/octet-stream"
        headers = {"content-disposition": f'attachment; filename="picture.{form}"'}
        return Response(content, media_type=kind, headers=headers)

    @app.get("/api/pictures/{name}.png", response_class=Response)
    async def _(name: str) -> Response:
        """A picture that a job made."""
        return Response(found(studio.pictures.get(name), "picture"), media_type="image/png")


async def _picture(studio: Studio, parts: Iterator[bytes], pixels: int) -> Response:
    """A PNG file: a small one in one piece, a large one strip by strip."""
    headers = {"cache-control": "private, max-age=3600"}
    if pixels <= _WHOLE:
        content = await studio.drawing.call(lambda: b"".join(parts))
        return Response(content, media_type="image/png", headers=headers)
    return StreamingResponse(studio.drawing.strips(parts), media_type="image/png", headers=headers)
