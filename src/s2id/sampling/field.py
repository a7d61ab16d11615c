"""The field that sampling returns: a function on a frame, which is rendered to pixels at any size.

A pixel is the mean of the function, clipped to [-1, 1], over the pixel's cell, so pictures of one field agree at every
size and window. They are rendered tile by tile: memory does not grow with the picture, except for the picture itself.
Where there is alpha, the function's colours are premultiplied by it (`s2id.media.alpha`); files hold straight alpha.
"""

import math
from collections.abc import Iterator
from html import escape
from io import BytesIO
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from s2id.checks import checked
from s2id.coords import Grid, check_pixels, check_size, slices, view, whole_size
from s2id.errors import InputError
from s2id.files import check_suffix, write_bytes
from s2id.forms import FORMS
from s2id.media.alpha import straight
from s2id.media.images import format_of, png, to_bytes, to_pillow, write, write_png
from s2id.media.palette import from_hex, snap
from s2id.memory import keep_memory
from s2id.network.heads import MARGIN, Features
from s2id.network.published import PixelHead
from s2id.sampling.field_file import Head, field_bytes, of_some, read_field
from s2id.sampling.interpolate import draw, values_per_pixel
from s2id.settings import MAX_PIXELS, AnySize, Fit, Look, Window

_TILE_VALUES = 2**24  # values that are held for one tile

_MOST_PER_PIXEL = 2**12  # values of the function along a side of a pixel, of which it is the mean

_MOST_VALUES = 2**24  # values of the function in all, beyond two for each pixel that is allowed

_SHOWN, _SHOWN_SIDE = 16, 192  # functions, and pixels along the long side of each, that a notebook shows


class Field:
    """One function per sampled picture, each of which can be rendered at any size, window and aspect.

    Example:
        >>> import s2id
        >>> field = s2id.sample(s2id.load("mnist-fast"), label=[7, 3], seed=[0, 1])
        >>> len(field), field.channels
        (2, 1)
        >>> three = field[1]
        >>> three.image(size=(61, 37)).size  # Pillow's order: width, height
        (37, 61)
    """

    def __init__(self, features: Features, head: Head, facts: dict[str, str] | None = None) -> None:
        """Wrap the output of a model's decoder.

        Args:
            features: Samples of the features of every function.
            head: The layers that turn features into pixel values.
            facts: Facts that are kept in the field's file: labels, seeds, name of the data.
        """
        self.features = features
        self.head = head
        self.facts = facts or {}

    def __len__(self) -> int:
        """Number of functions."""
        return len(self.features.values)

    def __getitem__(self, index: int | slice) -> "Field":
        """A field of one of the functions, or of some."""
        chosen = range(len(self))[index]
        which = list(chosen) if isinstance(chosen, range) else [chosen]
        facts = of_some(self.facts, len(self), which)
        return Field(Features(self.features.values[which], self.features.frame), self.head, facts)

    def __repr__(self) -> str:
        """What the field holds, in one line."""
        height, width = self.features.frame
        known = "".join(f", {name} {self.facts[name]}" for name in ("data", "labels", "seeds") if self.facts.get(name))
        return f"Field({len(self)} of {self.channels} channels, frame {height:g}x{width:g}{known[:200]})"

    def _repr_png_(self) -> bytes:
        """A small picture, or a sheet of the first functions, which notebooks show."""
        from s2id.media.sheets import sheet

        few = self[:_SHOWN].render(_SHOWN_SIDE)
        buffer = BytesIO()
        to_pillow(to_bytes(straight(few[0] if len(self) == 1 else sheet(few)))).save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        """The first functions to zoom into, which notebooks show where they show pages."""
        page = FORMS[".html"](self[:_SHOWN]).decode()
        return (
            f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts allow-downloads" allow="fullscreen" '
            f'title="{escape(repr(self))}" width="100%" height="480" style="border: 0"></iframe>'
        )

    def __iter__(self) -> Iterator["Field"]:
        """Fields of the functions one by one."""
        return (self[i] for i in range(len(self)))

    @property
    def channels(self) -> int:
        """Colour channels of the pictures."""
        return self.head.channels

    @checked
    def image(
        self,
        size: AnySize,
        window: Window | None = None,
        fit: Fit = "fit",
        max_pixels: int = MAX_PIXELS,
        look: Look = "smooth",
    ) -> Image.Image:
        """The picture of a field of one function, as a Pillow image: L or RGB, or LA or RGBA with straight alpha.

        Args:
            size: Height and width, in pixels; or the long side alone, in the aspect of the frame or window.
            window: Top, left, bottom and right of the region to show, as fractions of the frame. `None` is the frame.
            fit: What to do where the aspects of region and picture differ. `"fit"` shows the whole region and canvas
                beside it, `"fill"` fills the picture and shows less of the region, `"stretch"` makes pixels oblong.
            max_pixels: Largest number of pixels, of all pictures together; more are refused.
            look: `"smooth"` shows the function. `"squares"` shows it as pixel art, as `squares` says; `"palette"` does
                so in the colours of the data.

        Raises:
            InputError: The size, the window or the number of pixels is out of range, the field holds several functions,
                or it knows nothing of the data's pixels or palette, which `look` needs.

        Example:
            >>> import s2id
            >>> seven = s2id.sample(s2id.load("mnist-fast"), label=7)
            >>> zoom = seven.image(size=(64, 64), window=(0.25, 0.25, 0.75, 0.75))
            >>> zoom.mode, zoom.size
            ('L', (64, 64))
        """
        grid = self._view(size, window, fit, max_pixels)
        return to_pillow(torch.cat(list(self._seen_as(look)._bytes(grid)), dim=1))

    @checked
    def render(
        self,
        size: AnySize,
        window: Window | None = None,
        fit: Fit = "fit",
        max_pixels: int = MAX_PIXELS,
        look: Look = "smooth",
    ) -> Float[Tensor, "b c h w"]:
        """A tensor of every function's picture, with values in [-1, 1]; arguments and errors as for `image`.

        Of 2 or 4 channels the last is alpha, and the others are colours premultiplied by it: 2 * colour * alpha - 1,
        never above alpha. In `s2id.media.alpha`, `straight` divides, and `over` lays the pictures over a ground.

        Example:
            >>> import s2id
            >>> field = s2id.sample(s2id.load("mnist-fast"), label=[7, 3], seed=[0, 1])
            >>> field.render((20, 30)).shape
            torch.Size([2, 1, 20, 30])
        """
        grid = self._view(size, window, fit, max_pixels, one=False)
        return torch.cat(list(self._seen_as(look).strips(grid)), dim=2)

    @checked
    def write(
        self,
        path: Path | str,
        size: AnySize,
        window: Window | None = None,
        fit: Fit = "fit",
        max_pixels: int = MAX_PIXELS,
        look: Look = "smooth",
    ) -> None:
        """Write the picture of a field of one function to a file.

        A PNG is rendered and written strip by strip, so memory stays bounded. Arguments and errors are those of
        `image`; a file that cannot be written, or whose format cannot hold the picture, is an `InputError` too.
        """
        grid = self._view(size, window, fit, max_pixels)
        kind = format_of(Path(path), grid.size, self.channels)
        seen = self._seen_as(look)
        if kind == "PNG":
            write_png(Path(path), grid.size, self.channels, seen._bytes(grid))
        else:
            write(Path(path), torch.cat([strip[0] for strip in seen.strips(grid)], dim=1))

    @checked
    def png(
        self,
        size: AnySize,
        window: Window | None = None,
        fit: Fit = "fit",
        max_pixels: int = MAX_PIXELS,
        look: Look = "smooth",
    ) -> Iterator[bytes]:
        """The content of the PNG file that `write` writes, strip by strip; arguments and errors as for `image`."""
        grid = self._view(size, window, fit, max_pixels)
        return png(grid.size, self.channels, self._seen_as(look)._bytes(grid))

    @checked
    def squares(self, palette: bool = False) -> "Field":
        """The field as pixel art: the pixels of the data's own size, each of one colour, at whatever size it is drawn.

        A pixel of a picture that a square's border crosses has the mean of both colours; all others are crisp.

        Args:
            palette: Whether every square takes the colour of the data's palette that is nearest to its own.

        Raises:
            InputError: The field does not know the size of the data's pictures, or their palette.

        Example:
            >>> import s2id
            >>> seven = s2id.sample(s2id.load("mnist-fast"), label=7).squares()
            >>> big, own = seven.render((280, 280)), seven.render((28, 28))
            >>> bool((big[..., 5::10, 5::10] == own).all())
            True
        """
        if "long_side" not in self.facts:
            raise InputError("this field does not know the size of its data's pictures; draw it with the look smooth.")
        if palette and "palette" not in self.facts:
            raise InputError("the data had too many colours for a palette; draw with the look squares instead.")
        pixels = self.render(int(self.facts["long_side"]))
        if palette:
            pixels = snap(pixels, from_hex(self.facts["palette"].split()))
        return Field(Features(pixels.movedim(1, -1), self.features.frame), PixelHead(self.channels), self.facts)

    def _seen_as(self, look: Look) -> "Field":
        """The field whose pictures have a look."""
        return self if look == "smooth" else self.squares(look == "palette")

    def _bytes(self, grid: Grid) -> Iterator[UInt8[Tensor, "c rows w"]]:
        """The only function's picture as files hold it, in strips of rows."""
        return (to_bytes(straight(strip[0])) for strip in self.strips(grid))

    @torch.inference_mode()
    def strips(self, grid: Grid) -> Iterator[Float[Tensor, "b c rows w"]]:
        """The pictures as strips of rows, from the top, each rendered in tiles of bounded memory."""
        keep_memory()
        features = self.features.on_canvas()
        pixels = max(1, _TILE_VALUES // values_per_pixel(self.head, features, grid))
        height, width = grid.size
        columns = min(width, max(1, math.isqrt(pixels)))
        rows = max(1, pixels // columns)
        seen = features.touched(grid)  # the canvas around is of one colour, which is computed once

        def repeated(row: Float[Tensor, "b c 1 w"], count: int) -> Iterator[Float[Tensor, "b c rows w"]]:
            yield from (row.expand(-1, -1, min(rows, count - done), -1) for done in range(0, count, rows))

        for top in range(seen[0].start, seen[0].stop, rows):
            tiles = [
                draw(self.head, features, grid.part(slice(top, min(top + rows, seen[0].stop)), part), bound=1.0)
                for part in slices(seen[1], columns)
            ]
            strip = F.pad(torch.cat(tiles, dim=3), (seen[1].start, width - seen[1].stop, 0, 0), mode="replicate")
            if top == seen[0].start:
                yield from repeated(strip[:, :, :1], top)
            yield strip
        yield from repeated(strip[:, :, -1:], height - seen[0].stop)

    @checked
    def save(self, path: Path | str) -> None:
        """Write a .safetensors file that `Field.load` reads, or an .html page that any browser shows.

        No model is needed to render either. The page holds all that it needs, and lets its reader zoom; of several
        functions it is a gallery.

        Raises:
            InputError: The file cannot be written, its name ends in neither, the field holds NaN, or a page would be
                too large.

        Example:
            >>> import os, s2id, tempfile
            >>> field = s2id.sample(s2id.load("mnist-fast"), label=7)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     field.save(os.path.join(folder, "seven.safetensors"))
            ...     again = s2id.Field.load(os.path.join(folder, "seven.safetensors"))
            >>> bool((again.render((28, 28)) == field.render((28, 28))).all())
            True
        """
        path = Path(path)
        check_suffix(path, ".safetensors", *FORMS)
        form = FORMS.get(path.suffix.lower(), Field.file_bytes)
        write_bytes(path, form(self))

    def file_bytes(self, half: bool = False) -> bytes:
        """The content of the .safetensors file; with `half`, of features in half precision, about half as large.

        Raises:
            InputError: The field holds NaN.
        """
        return field_bytes(self.features, self.head, self.facts, half)

    @classmethod
    @checked
    def load(cls, path: Path | str) -> "Field":
        """The field that `save` wrote to a file; `save` shows an example.

        Raises:
            InputError: The file is missing, is damaged, or holds no field.
        """
        return cls(*read_field(Path(path)))

    def _view(self, size: AnySize, window: Window | None, fit: Fit, max_pixels: int, one: bool = True) -> Grid:
        size = whole_size(size, self.features.frame, window)
        check_size(size)
        if not len(self):
            raise InputError("this field holds no function; choose at least one.")
        if one and len(self) != 1:
            raise InputError(f"this field holds {len(self)} functions; choose one with field[i], or use render.")
        check_pixels(size, max_pixels, len(self))
        grid = view(size, self.features.frame, window, fit).to(self.features.values.device)
        if (most := self.features.supersample(grid.cell)) > _MOST_PER_PIXEL:
            raise InputError(
                f"size {size[0]}x{size[1]} shows {most:,} values of the function along a side of each pixel, and the "
                f"limit is {_MOST_PER_PIXEL:,}; choose a larger size."
            )
        rows, columns = self.features.touched(grid, MARGIN)
        work = (rows.stop - rows.start) * (columns.stop - columns.start) * most**2 * len(self)
        if work > _MOST_VALUES + 2 * max_pixels:
            raise InputError(
                f"size {size[0]}x{size[1]} squeezes {work:,} values of the function into pixels, because their sides "
                "are so unequal; choose a size of an aspect nearer to that of the frame."
            )
        return grid
