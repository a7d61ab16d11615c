"""The commands that make films: from one picture to another, and from one window of a picture to another."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from s2id.checks import Within
from s2id.cli.flags import Help, part
from s2id.cli.options import (
    Device,
    Looks,
    Traits,
    Weights,
    name_files,
    parse_seeds,
    parse_window,
    writable,
)
from s2id.errors import InputError
from s2id.names import NONE, split
from s2id.sampling.settings import Sampling
from s2id.settings import MAX_ALLOWED, MAX_PIXELS, parse_any_size, setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image

_SPEED = 1.0
"""Length of a film's way, as `s2id.zoom` measures it, in a second; van Wijk and Nuij found 0.9 to be pleasant."""

_Size = Annotated[str, Help("Height x width of the film in pixels, or its long side.", metavar="HxW|N")]

_Region = Help("Top,left,bottom,right of a region as fractions of the frame, as in 0.3,0.3,0.31,0.31.", "T,L,B,R")

_FILM = (
    "a file that ends in .gif, in .png or .apng (an animated PNG) or in .mp4 (needs the extra frames); a name without "
    "an ending is a folder of PNG files."
)

_Rate = Annotated[float, Within(0.1, 100)]

_Loop = Annotated[bool, Help("Come back the same way, so that the film repeats evenly.")]


@dataclass(frozen=True)
class Morph:
    """Make a film, or a page with a slider, of the way from one picture to another.

    The pictures that the way leads through are exactly those that `s2id sample` draws.
    """

    weights: tyro.conf.Positional[Weights] = "mnist"
    label: str | None = None
    """Class of each picture on the way, by name or index: 7,3. One is kept all the way; none is no class. None: no
    class."""
    seed: Annotated[
        str | None,
        Help(
            "Random seed of each picture: 0,1 or 0-3. One is kept all the way. None: 0,1; or 0 of several labels.",
            "N,N-N",
        ),
    ] = None
    frames: Annotated[int, Within(2, 10_000)] | None = None
    """Functions from each picture to the next, with both. None: 24, or 9 of a page, which blends them."""
    loop: _Loop = False
    size: _Size = "256"
    out: Annotated[Path, Help("A page that ends in .html, or " + _FILM)] = Path("out/morph.gif")
    words: str | None = setting(None, "condition")
    """What all pictures show, in words that the model learned. None: anything."""
    traits: Traits = part(Traits(), group="condition")
    sampling: Sampling = part(Sampling(), group="sampling", omit=("restarts",))
    rate: _Rate = setting(25.0, "film")
    """Pictures per second."""
    device: Device = setting("auto", "machine")

    def run(self) -> int:
        """Compose the fields one after the other, and write what they show."""
        size, page = parse_any_size(self.size), self.out.suffix.lower() == ".html"
        from tqdm import tqdm

        from s2id.export.page import write_way
        from s2id.media.films import film_writer
        from s2id.sampling.between import path
        from s2id.sampling.conditions import pair
        from s2id.sampling.model import load

        if not page:
            film_writer(self.out)  # refuses what is no film's name, before anything is composed
        model = load(self.weights, self.device)
        names = [None if word.strip() == NONE else word for word in split(NONE if self.label is None else self.label)]
        seeds = parse_seeds(self.seed or ("0" if len(names) > 1 else "0,1"))
        asked, seeds = pair(model, [self.traits.ask(model, name, self.words) for name in names], seeds)
        if len(seeds) < 2:
            raise InputError("a way needs two pictures at least; give two labels or two seeds, as in --seed 0,1.")
        count = self.frames or (9 if page else 24)
        fields = path(model, asked, seeds, count, self.sampling)
        writable(self.out.parent)
        shown = tqdm(fields, total=(count - 1) * (len(seeds) - 1) + 1, unit="field", leave=False)
        if page:
            write_way(self.out, list(shown))
        else:
            _write(self.out, (field.image(size) for field in shown), self.rate, self.loop)
        name_files([self.out])
        return 0


@dataclass(frozen=True)
class Film:
    """Make a film that zooms and pans over a field file, at a speed that feels even."""

    field: tyro.conf.Positional[Path]
    """The file, as `s2id sample --fields` wrote it."""
    to: Annotated[str, _Region]
    from_: Annotated[str | None, Help("The first region, in the same form. None: the whole frame.", "T,L,B,R")] = None
    size: _Size = "512"
    seconds: Annotated[float, Within(0, 3600, open_low=True)] | None = None
    """Length of the film. None: by the way; zooming in tenfold takes 1.6 s."""
    loop: _Loop = False
    out: Annotated[Path, Help("The film: " + _FILM)] = Path("out/film.gif")
    look: Looks = setting("smooth", "film")
    rate: _Rate = setting(25.0, "film")
    """Pictures per second."""
    max_pixels: Annotated[int, Within(1, MAX_ALLOWED)] = setting(MAX_PIXELS, "film")
    """Largest picture, in pixels; larger ones are refused."""

    def run(self) -> int:
        """Draw the pictures one by one, and write them."""
        asked, last, first = parse_any_size(self.size), parse_window(self.to), parse_window(self.from_)
        from tqdm import tqdm

        from s2id.coords import whole_size
        from s2id.media.films import film_writer
        from s2id.sampling.field import Field
        from s2id.zoom import path

        film_writer(self.out)
        field = Field.load(self.field)
        if self.look != "smooth":
            field = field.squares(self.look == "palette")
        frame = field.features.frame
        size, ends = whole_size(asked, frame), [window or (0.0, 0.0, 1.0, 1.0) for window in (first, last)]
        way = path(ends[0], ends[1], size, frame)
        seconds = self.seconds or max(1.0, way.length / _SPEED)
        count = max(2, round(seconds * self.rate) + 1)
        shares = tqdm([i / (count - 1) for i in range(count)], unit="picture", leave=False)
        pictures = (field.image(size, way.window(share), max_pixels=self.max_pixels) for share in shares)
        writable(self.out.parent)
        _write(self.out, pictures, self.rate, self.loop)
        name_files([self.out])
        return 0


def _write(path: Path, pictures: "Iterator[Image]", rate: float, loop: bool) -> None:
    from s2id.media.films import there_and_back, write_film

    write_film(path, there_and_back(pictures) if loop else pictures, rate)
