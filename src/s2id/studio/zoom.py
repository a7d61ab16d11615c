"""The addresses of the IIIF Image API, at which any viewer of that kind zooms into a field."""

from io import BytesIO
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from PIL import Image

from s2id.settings import Size
from s2id.studio import iiif
from s2id.studio.state import Studio

if TYPE_CHECKING:
    from s2id.sampling.field import Field

_OPEN = {"access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin"}
"""Viewers on other sites may ask: the name of a field is random, and whoever knows it was told it."""


def add_zoom(app: FastAPI, studio: Studio) -> None:
    """Add the addresses of the IIIF Image API."""
    side = studio.limits.iiif_side

    def address(request: Request, name: str) -> str:
        return str(request.url_for("zoom", name=name))

    @app.get("/iiif/{name}", name="zoom", response_class=RedirectResponse, status_code=303)
    async def _(name: str, request: Request) -> Response:
        """The way to what viewers ask for first."""
        return RedirectResponse(f"{address(request, name)}/info.json", 303, _OPEN)

    @app.get("/iiif/{name}/info.json")
    async def _(name: str, request: Request) -> Response:
        """Nominal size and tiles of a field, and what may be asked for."""
        found = iiif.info(address(request, name), _full(studio.picture(name).field, side))
        linked = "application/ld+json" in request.headers.get("accept", "")
        kind = f'application/ld+json;profile="{iiif.CONTEXT}"' if linked else "application/json"
        return JSONResponse(found, headers={**_OPEN, "link": _links()}, media_type=kind)

    @app.get("/iiif/{name}/{region}/{size}/{rotation}/{quality}.{form}", response_class=Response)
    async def _(
        name: str, region: str, size: str, rotation: str, quality: str, form: str, request: Request
    ) -> Response:
        """A region of a field at a size, turned, in a quality and a format."""
        field = studio.picture(name).field
        full = _full(field, side)
        asked = iiif.asked(full, region, size, rotation, quality, form)
        content = await studio.drawing.call(lambda: _drawn(field, full, asked))
        headers = {**_OPEN, "link": _links(f"{address(request, name)}/{asked.canonical}")}
        headers |= {"cache-control": "private, max-age=3600"}
        return Response(content, media_type=iiif.FORMATS[form][1], headers=headers)


def _full(field: "Field", side: int) -> Size:
    """Nominal height and width of a field."""
    height, width = field.features.frame
    return max(1, round(side * height)), max(1, round(side * width))


def _links(canonical: str | None = None) -> str:
    """The header Link."""
    links = [f'<{iiif.PROFILE}>;rel="profile"']
    return ",".join([*links, f'<{canonical}>;rel="canonical"'] if canonical else links)


def _drawn(field: "Field", full: Size, asked: iiif.Asked) -> bytes:
    """The file that an address asks for."""
    image = field.image(asked.size, asked.window(full), "stretch")
    if asked.mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if asked.degrees:
        image = image.rotate(-asked.degrees, expand=True)
    kind = iiif.FORMATS[asked.form][0]
    if "A" in image.mode and kind == "JPEG":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA")).convert(image.mode.removesuffix("A"))
    if asked.quality == "gray":
        image = image.convert("LA" if "A" in image.mode else "L")
    if asked.quality == "bitonal":
        image = image.convert("L").point(lambda value: 255 * (value >= 128)).convert("1")
    if kind == "WEBP" and image.mode == "1":
        image = image.convert("L")
    file = BytesIO()
    image.save(file, kind, **({"quality": 90} if kind != "PNG" else {"compress_level": 1}))
    return file.getvalue()
