"""A cache of decoded pictures: one memory-mapped .npy file per data set, so that a large one needs little memory.

The file is made once, by several processes if asked. It is made anew when its key changes: for a folder, the names,
lengths and times of its files, the long side, and what becomes of transparency.
"""

import hashlib
import json
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from filelock import FileLock
from jaxtyping import Int, UInt8
from torch import Tensor

from s2id.data.cache_folder import cache_folder
from s2id.data.decoding import Decoder, Entry, Lost, decoded, picture
from s2id.errors import InputError
from s2id.files import replacing
from s2id.media.alpha import fitting, has_alpha, in_channels, is_coloured, over
from s2id.media.images import to_bytes, to_float
from s2id.settings import Alpha, Size

CACHE: Path | None = None
"""Folder of downloads and, in its subfolder `pictures`, of decoded pictures. `None`: `place.cache_folder` finds it."""

_FORMAT = "s2id-pictures-6"

_RARE = 32
"""A size of fewer pictures than this is merged with others, because a batch holds pictures of one size."""

_STEP = 16 / 15
"""Ratio of neighbouring aspects to which rare sizes are cropped: at most a sixteenth of the shorter side is lost."""


@dataclass(frozen=True)
class Stored:
    """Pictures of one size."""

    images: UInt8[Tensor, "n c h w"]
    """Pixels, mapped from the file."""
    index: Int[Tensor, " n"]
    """Number of the entry that each picture came from."""


@dataclass(frozen=True)
class Kept:
    """A cached data set."""

    groups: tuple[Stored, ...]
    """Pictures by size, the most frequent size first."""
    skipped: tuple[str, ...]
    """One sentence for each entry that was left out."""
    columns: dict[str, list[str]]
    """Labels as text: column -> field of each entry."""
    facts: dict[str, Any]
    """What the source told of the data set as a whole."""
    count: int
    """Number of entries, including those left out."""
    alpha: Alpha
    """What became of transparency."""


def store(
    root: Path,
    files: Sequence[Path],
    long_side: int | None,
    workers: int = 0,
    decoder: Decoder = picture,
    part: str = "",
    alpha: Alpha | None = None,
    pad: bool = False,
) -> Kept:
    """Cached pictures of files below a folder.

    Args:
        root: Folder of the files.
        files: The files of pictures.
        long_side: Larger pictures are shrunk by area means to this many pixels along the longer side; `None` shrinks
            none. No picture is ever enlarged.
        workers: Number of other processes that decode; 0 decodes in this process.
        decoder: Function that makes a picture of a file.
        part: Name of this part of the folder, where several parts are cached separately.
        alpha: What becomes of transparency, as for `data.registry.load_pictures`.
        pad: Whether pictures of rare sizes get transparent margins, as for `keep`.

    Raises:
        InputError: The cache cannot be written.
    """
    listing = [(str(f.relative_to(root)), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    entries = (Entry(str(file), file) for file in files)
    name = f"{root.resolve()}-{part}" if part else str(root.resolve())
    return keep(name, [long_side, listing], lambda: (entries, {}), long_side, workers, decoder, alpha, pad)


def keep(
    name: str,
    key: Any,  # noqa: ANN401  (anything that JSON writes)
    entries: Callable[[], tuple[Iterable[Entry], dict[str, Any]]],
    long_side: int | None,
    workers: int = 0,
    decoder: Decoder = picture,
    alpha: Alpha | None = None,
    pad: bool = False,
) -> Kept:
    """Cached pictures of any source, decoded only if the cache does not hold them under the same key.

    Args:
        name: Name of the source. Each name and long side has a file of its own.
        key: Everything that the pictures depend on.
        entries: Function that gives the entries, and facts of the data set as a whole. It is not called if the cache
            holds them.
        long_side: Larger pictures are shrunk by area means to this many pixels along the longer side; `None` shrinks
            none.
        workers: Number of other processes that decode; 0 decodes in this process.
        decoder: Function that makes a picture of an entry's source.
        alpha: What becomes of transparency, as for `data.registry.load_pictures`.
        pad: Whether pictures of rare sizes get transparent margins (`framed_sizes`), as suits drawings of one long
            side; otherwise they are cropped (`shared_sizes`).

    Raises:
        InputError: The cache cannot be written.
    """
    if getattr(current_process(), "_inheriting", False):  # the parent process holds the lock and waits for this one
        raise RuntimeError("a script that reads pictures in processes needs `if __name__ == '__main__':`")
    whose = hashlib.sha256(json.dumps(name).encode()).hexdigest()[:12]
    place = folder() / "pictures" / f"{Path(name).name[:40]}-{whose}-{long_side or 'full'}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / ".lock"):  # processes of one run read once
            asked, chosen = (_facts_file(place, key, choice) for choice in (alpha, None))
            # what the data chose serves those who ask for the same by name, as an evaluation does
            fitting_ones = (one for one in map(_kept, (asked, chosen)) if one and alpha in (None, one.alpha))
            kept = next(fitting_ones, None)
            if kept is None:
                found, told = entries()
                lost = _build(decoded(iter(found), long_side, workers, decoder), told, asked, alpha, pad)
                for old in {*place.glob("*.npy"), *place.glob("*.json")} - {asked, asked.with_suffix(".npy")}:
                    old.unlink()
                # still under the lock: a process with another key would remove these files
                kept = _kept(asked)
                if lost:  # through no fault of the files, which are read again next time
                    asked.unlink()
    except OSError as error:
        raise InputError(f"{place} cannot be used to keep shrunk pictures ({error}); free or empty it.") from error
    if kept is None:
        raise InputError(f"{place} does not hold what was just written to it; free or empty it.")
    return kept


def folder() -> Path:
    """The folder of the cache."""
    return CACHE or cache_folder()


def _facts_file(place: Path, key: Any, alpha: Alpha | None) -> Path:  # noqa: ANN401  (anything that JSON writes)
    """File in a folder for the facts of a data set, with everything that its pictures depend on in its name."""
    return place / f"{hashlib.sha256(json.dumps([_FORMAT, key, alpha]).encode()).hexdigest()[:32]}.json"


def _kept(facts: Path) -> Kept | None:
    """The data set in a file of facts and the file of pixels beside it; `None` if one is missing or damaged."""
    try:
        content = json.loads(facts.read_bytes())
        if content.pop("sha256") != _checksum(content):
            return None
        flat = _mapped(facts.with_suffix(".npy"))
        parts = flat.split([math.prod(group["shape"]) for group in content["groups"]])
        groups = tuple(
            Stored(part.view(group["shape"]), torch.tensor(group["index"]))
            for part, group in zip(parts, content["groups"], strict=True)
        )
    except Exception:  # a damaged file may hold anything
        return None
    whole = (content[name] for name in ("columns", "facts", "count", "alpha"))
    return Kept(groups, tuple(content["skipped"]), *whole)


def _checksum(content: dict[str, Any]) -> str:
    """SHA-256 of a data set's facts."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _mapped(pixels: Path) -> UInt8[Tensor, " n"]:
    """The bytes of a file, which stay on disk until they are used. Writing to them ends the process.

    The map is read-only, because a system may refuse a private writable map that is larger than memory.
    """
    with warnings.catch_warnings(action="ignore"):  # torch warns that the array is read-only
        flat = torch.from_numpy(np.load(pixels, mmap_mode="r"))
    if flat.dtype != torch.uint8 or flat.ndim != 1:
        raise ValueError(f"{pixels} holds no bytes")
    return flat


def _build(
    found: Iterable[tuple[Entry, UInt8[np.ndarray, "c h w"] | str]],
    told: dict[str, Any],
    target: Path,
    alpha: Alpha | None,
    pad: bool,
) -> bool:
    """Write the two files of a data set, and tell whether a picture was lost through no fault of its own.

    Every picture goes into a spool first, then out in the order of sizes.
    """
    lost = False
    shapes: list[tuple[int, int, int, int]] = []  # index, channels, height, width
    skipped: list[str] = []
    columns: dict[str, list[str]] = {}
    count = 0
    with tempfile.TemporaryFile(dir=target.parent) as spool:
        for index, (entry, image) in enumerate(found):
            count += 1
            for name, value in entry.fields.items():
                columns.setdefault(name, []).append(value)
            if isinstance(image, str):
                skipped.append(printable(image))
                lost |= isinstance(image, Lost)
                continue
            spool.write(image.tobytes())
            shapes.append((index, *image.shape))
        alpha = alpha or fitting(sum(has_alpha(channels) for _, channels, _, _ in shapes), len(shapes))
        groups = _gather(spool, shapes, target.with_suffix(".npy"), alpha, pad)
    with replacing(target) as out:
        whole = {"groups": groups, "skipped": skipped, "columns": columns}
        content = {**whole, "facts": told, "count": count, "alpha": alpha}
        out.write(json.dumps({**content, "sha256": _checksum(content)}).encode())
    return lost


def printable(text: str) -> str:
    """Text in which bytes of a file name that are no valid Unicode are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def shared_sizes(sizes: Sequence[Size]) -> list[Size]:
    """Size to which each picture is cropped: its own, or a slightly smaller one that it shares with others.

    A batch holds pictures of one size. So the shorter side of a rare size is cropped to the next aspect of a geometric
    series, if at least one other size comes out the same.

    >>> shared_sizes([(64, 48), (64, 47)])
    [(64, 46), (64, 46)]
    """
    count = Counter(sizes)

    def shorter(size: Size) -> Size:
        if count[size] >= _RARE:
            return size
        long, short = max(size), min(size)
        cut = round(long / _STEP ** math.ceil(math.log(long / short, _STEP) - 1e-9))
        return (long, cut) if size[0] == long else (cut, long)

    asked = {size: shorter(size) for size in count}
    shared = Counter(asked.values())
    return [asked[size] if shared[asked[size]] > 1 else size for size in sizes]


def framed_sizes(sizes: Sequence[Size]) -> list[Size]:
    """Size of the frame that each picture stands in: its own if it is frequent, else the smallest one around it.

    Args:
        sizes: Sizes with one long side. The most frequent size is a frame, and the square.

    >>> framed_sizes([(64, 64), (64, 64), (64, 62)])
    [(64, 64), (64, 64), (64, 64)]
    """
    count = Counter(sizes)
    long = max(map(max, sizes), default=0)
    frames = {(long, long), *(size for size in count if count[size] >= _RARE or count[size] == max(count.values()))}

    def around(size: Size) -> Size:
        return min((f for f in frames if f[0] >= size[0] and f[1] >= size[1]), key=lambda f: (math.prod(f), f))

    framed = {size: around(size) for size in count}
    return [framed[size] for size in sizes]


def _gather(
    spool: IO[bytes], shapes: list[tuple[int, int, int, int]], pixels: Path, alpha: Alpha, pad: bool
) -> list[dict[str, list[int]]]:
    """Write the spooled pictures in the order of sizes, and tell the shape and the entries of each size.

    All are written in the channels that the richest needs: if any has colour, grey pictures get three equal colours,
    and if transparency is kept, opaque pictures get an alpha of 255.
    """
    starts = np.cumsum([0, *(math.prod(shape[1:]) for shape in shapes)]).tolist()
    sizes = [(height, width) for _, _, height, width in shapes]
    kept = (framed_sizes if pad else shared_sizes)(sizes)
    margins = {2} if pad and kept != sizes else set[int]()  # which are transparent
    channels = _common_channels({shape[1] for shape in shapes} | margins, alpha)
    by_size: dict[Size, list[int]] = {}
    for i, size in enumerate(kept):
        by_size.setdefault(size, []).append(i)
    groups = []
    with replacing(pixels) as out:
        total = channels * sum(map(math.prod, kept))
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (total,)})
        for size, members in sorted(by_size.items(), key=lambda item: -len(item[1])):
            for i in members:
                spool.seek(starts[i])
                whole = np.frombuffer(spool.read(starts[i + 1] - starts[i]), np.uint8).reshape(shapes[i][1:])
                part = _centred(torch.tensor(whole), size)
                out.write(_in_common(part, channels, alpha).numpy().tobytes())
            groups.append({"shape": [len(members), channels, *size], "index": [shapes[i][0] for i in members]})
    return groups


def _centred(picture: UInt8[Tensor, "c h w"], size: Size) -> UInt8[Tensor, "k h2 w2"]:
    """The middle of a picture; or the picture in the middle of transparent margins, where it is smaller."""
    top, left = ((side - cut) // 2 for side, cut in zip(picture.shape[1:], size, strict=True))
    part = picture[:, max(0, top) :, max(0, left) :][:, : size[0], : size[1]]
    if part.shape[1:] == size:
        return part
    channels = len(part) + (not has_alpha(len(part)))
    framed = part.new_zeros(channels, *size)
    framed[:, -min(0, top) :, -min(0, left) :][:, : part.shape[1], : part.shape[2]] = in_channels(part, channels)
    return framed


def _common_channels(found: set[int], alpha: Alpha) -> int:
    """Number of channels that hold pictures of all these numbers of channels."""
    transparent = any(map(has_alpha, found))
    coloured = max(found, default=1) > 2 or (alpha != "keep" and transparent and is_coloured(alpha))
    return (3 if coloured else 1) + (alpha == "keep")


def _in_common(picture: UInt8[Tensor, "c h w"], channels: int, alpha: Alpha) -> UInt8[Tensor, "k h w"]:
    """A picture in the channels of its data set, laid over the ground unless transparency is kept."""
    if has_alpha(len(picture)) and alpha != "keep":
        picture = to_bytes(over(to_float(picture), alpha))
    return in_channels(picture, channels)
