"""The IIIF Image API 3.0 (iiif.io/api/image/3.0): what an address asks for, and what is said of a picture.

A field has no pixels of its own. It counts as a picture of a nominal size, of which clients ask for regions.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from s2id.errors import InputError
from s2id.settings import Size, Window

MOST_AREA = 2**22
"""Pixels of an answer at most."""

TILE = 512
"""Pixels along a side of the tiles that viewers are told to ask for."""

PROFILE = "http://iiif.io/api/image/3/level2.json"

CONTEXT = "http://iiif.io/api/image/3/context.json"

FORMATS = {"jpg": ("JPEG", "image/jpeg"), "png": ("PNG", "image/png"), "webp": ("WEBP", "image/webp")}
"""Name of a format -> Pillow's name and the media type."""

QUALITIES = ("default", "color", "gray", "bitonal")

_COUNT = r"[0-9]{1,12}"

_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,12})?"


@dataclass(frozen=True)
class Asked:
    """What an address asks for."""

    region: tuple[float, float, float, float]
    """Left, top, width and height, in pixels of the nominal size."""
    size: Size
    """Height and width of the answer before it is turned, in pixels."""
    mirrored: bool
    """Whether left and right are exchanged, before the picture is turned."""
    degrees: int
    """By how much it is turned clockwise: 0, 90, 180 or 270."""
    quality: str
    form: str
    written: tuple[str, str] = ("full", "max")
    """Region and size in their canonical forms."""

    @property
    def canonical(self) -> str:
        """The address's end as the specification writes it (section 4.7)."""
        return "/".join((*self.written, f"{'!' * self.mirrored}{self.degrees}", f"{self.quality}.{self.form}"))

    def window(self, full: Size) -> Window:
        """The region as `Field.image` takes it."""
        left, top, width, height = self.region
        return top / full[0], left / full[1], min(1.0, (top + height) / full[0]), min(1.0, (left + width) / full[1])


def asked(full: Size, region: str, size: str, rotation: str, quality: str, form: str) -> Asked:
    """What the parts of an address ask for.

    Args:
        full: Nominal height and width of the picture.
        region: full, square, x,y,w,h, or pct:x,y,w,h.
        size: max, w,, ,h, pct:n, w,h or !w,h; with ^ before it, it may be larger than the region.
        rotation: Degrees clockwise, a multiple of 90; with ! before it, the picture is mirrored first.
        quality: default, color, gray or bitonal.
        form: jpg, png or webp.

    Raises:
        InputError: A part is not of its form, or asks for what is not given.

    >>> asked((4096, 8192), "0,0,1024,1024", "256,", "!90", "gray", "png").canonical
    '0,0,1024,1024/256,256/!90/gray.png'
    >>> asked((4096, 8192), "full", "max", "0", "default", "jpg").size
    (1448, 2896)
    """
    box = _region(full, region)
    found = _size((box[3], box[2]), size)
    turned = re.fullmatch(rf"(!?)({_NUMBER})", rotation)
    if not turned or float(turned[2]) % 90 or float(turned[2]) > 360:
        raise InputError(f"rotation {rotation[:40]!r} is no multiple of 90 up to 360, perhaps with a ! before it.")
    if quality not in QUALITIES:
        raise InputError(f"quality {quality[:40]!r} is none of {', '.join(QUALITIES)}.")
    if form not in FORMATS:
        raise InputError(f"format {form[:40]!r} is none of {', '.join(FORMATS)}.")
    if box == (0.0, 0.0, full[1], full[0]):
        names = "full"
    elif all(v == round(v) for v in box):
        names = ",".join(f"{v:.0f}" for v in box)
    else:  # pixels are whole numbers in addresses, and shares of the picture need not be
        names = "pct:" + ",".join(f"{100 * v / side:.12f}" for v, side in zip(box, 2 * (full[1], full[0]), strict=True))
    most = found == _within((box[3], box[2]))
    larger = "^" if found[0] > box[3] or found[1] > box[2] else ""
    sides = "max" if most else f"{larger}{found[1]},{found[0]}"
    return Asked(box, found, bool(turned[1]), int(float(turned[2])) % 360, quality, form, (names, sides))


def info(address: str, full: Size) -> dict[str, Any]:
    """The information about a picture that viewers ask for first (section 5).

    Args:
        address: The picture's own address, without what asks for regions.
        full: Nominal height and width.
    """
    factors = [2**i for i in range(math.ceil(math.log2(max(1, max(full) / TILE))) + 1)]
    sizes = [(-(-full[1] // factor), -(-full[0] // factor)) for factor in reversed(factors)]
    return {
        "@context": CONTEXT,
        "id": address,
        "type": "ImageService3",
        "protocol": "http://iiif.io/api/image",
        "profile": "level2",
        "width": full[1],
        "height": full[0],
        "maxArea": MOST_AREA,
        "sizes": [{"width": w, "height": h} for w, h in sizes if w * h <= MOST_AREA],
        "tiles": [{"width": TILE, "height": TILE, "scaleFactors": factors}],
        "preferredFormats": ["png", "jpg"],
        "extraFormats": ["webp"],
        "extraQualities": ["color", "gray", "bitonal"],
        "extraFeatures": ["canonicalLinkHeader", "mirroring", "profileLinkHeader", "sizeUpscaling"],
    }


def _region(full: Size, text: str) -> tuple[float, float, float, float]:
    """Left, top, width and height of a region, cut at the picture's edges (section 4.1)."""
    height, width = full
    if text == "full":
        return 0.0, 0.0, float(width), float(height)
    if text == "square":
        side = min(full)
        return float((width - side) // 2), float((height - side) // 2), float(side), float(side)
    percent = text.startswith("pct:")
    parts = re.fullmatch(",".join([f"({_NUMBER if percent else _COUNT})"] * 4), text.removeprefix("pct:"))
    if not parts:
        raise InputError(f"region {text[:60]!r} is none; write full, square, x,y,w,h or pct:x,y,w,h.")
    left, top, wide, high = (float(part) for part in parts.groups())
    if percent:
        left, wide, top, high = left * width / 100, wide * width / 100, top * height / 100, high * height / 100
    wide, high = min(wide, width - left), min(high, height - top)
    if wide <= 0 or high <= 0:
        raise InputError(f"region {text[:60]!r} is empty or lies outside of the picture's {width}x{height} pixels.")
    return left, top, wide, high


def _size(region: tuple[float, float], text: str) -> Size:
    """Height and width of the answer (section 4.2)."""
    upscaled, form = text.startswith("^"), text.removeprefix("^")
    high, wide = region
    if form == "max":
        return _within(region, upscaled)
    if percent := re.fullmatch(f"pct:({_NUMBER})", form):
        found = (high * float(percent[1]) / 100, wide * float(percent[1]) / 100)
    elif parts := re.fullmatch(r"([0-9]{0,9}),([0-9]{0,9})", form.removeprefix("!")):
        found = _sides(region, parts[1], parts[2], form.startswith("!"), upscaled)
    else:
        raise InputError(f"size {text[:60]!r} is none; write max, w,, ,h, pct:n, w,h or !w,h, or one of them after ^.")
    size = max(1, round(found[0])), max(1, round(found[1]))
    if min(found) <= 0:
        raise InputError(f"size {text[:60]!r} is empty; both sides must be at least 1 pixel.")
    if not upscaled and (size[0] > max(1, round(high)) or size[1] > max(1, round(wide))):
        raise InputError(f"size {text[:60]!r} is larger than the region; write ^ before it.")
    if math.prod(size) > MOST_AREA:
        raise InputError(f"size {text[:60]!r} has more than {MOST_AREA:,} pixels; ask for less at once.")
    return size


def _sides(region: tuple[float, float], width: str, height: str, confined: bool, upscaled: bool) -> tuple[float, float]:
    """Height and width of the forms w,h with one side or both, or within both."""
    high, wide = region
    if confined:
        if not (width and height):
            raise InputError(f"size '!{width},{height}' lacks a side; write !w,h.")
        times = min(int(width) / wide, int(height) / high, math.inf if upscaled else 1.0)
        return high * times, wide * times
    if width and height:
        return float(height), float(width)
    if not (width or height):
        raise InputError("size ',' has no side; write w,, ,h or w,h.")
    return (float(height), float(height) * wide / high) if height else (float(width) * high / wide, float(width))


def _within(region: tuple[float, float], upscaled: bool = False) -> Size:
    """The largest size of a region's aspect that is given, no larger than the region unless it may be."""
    times = math.sqrt(MOST_AREA / math.prod(region))
    times = times if upscaled else min(1.0, times)
    return max(1, math.floor(region[0] * times + 1e-6)), max(1, math.floor(region[1] * times + 1e-6))
