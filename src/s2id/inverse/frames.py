"""Frames of one scene from a folder of pictures, an animation, an array file or a video, as floats in [-1, 1].

What a file says of itself is checked before memory is taken. What is left out is said in the log, as warnings.
"""

import logging
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.errors import InputError
from s2id.media import raster
from s2id.media.alpha import over
from s2id.media.formats import endings
from s2id.media.images import read, to_bytes, to_float
from s2id.settings import MAX_PIXELS

_LOG = logging.getLogger(__name__)


def read_frames(path: Path, most: int | None = None) -> Float[Tensor, "f c h w"]:
    """Frames in [-1, 1] over white, with one channel if all are grey and three otherwise.

    Args:
        path: A folder (its pictures in the order of their names), an animation such as a .gif, a .npz or .npy with one
            array of frames (bytes 0..255, or floats in [-1, 1]; f h w, or f h w c), or a video that OpenCV reads. Of a
            damaged or wrongly counted video the frames that can be decoded are read.
        most: Largest number of frames to read; `None` reads all.

    Raises:
        InputError: There is no frame, frames differ in size or hold NaN, the file is damaged, or all frames together
            have more than MAX_PIXELS pixels.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of pictures, a .gif, a .npz or a video.")
    if path.is_dir():
        frames = stacked(_read(_pictures(path)[:most], path), path)
    elif path.suffix.lower() in (".npz", ".npy"):
        frames = _array(path, most)
    elif path.suffix.lower() in endings():
        pages = raster.pages(path, str(path), most, MAX_PIXELS)
        frames = stacked([torch.from_numpy(page).movedim(-1, 0) for page in pages], path)
    else:
        frames = _video(path, most)
    if not frames.isfinite().all():
        raise InputError(f"{path} holds NaN or infinity; leave such frames out or repair them.")
    return frames


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of their names; other files are counted in the log."""
    files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.startswith(".")]
    others = [file for file in files if file.suffix.lower() not in endings()]
    if others:
        _LOG.warning(
            "%d files of %s are no pictures that can be read, the first: %s", len(others), folder, others[0].name
        )
    return [file for file in files if file.suffix.lower() in endings()]


def _read(files: list[Path], folder: Path) -> list[UInt8[Tensor, "c h w"]]:
    """Pictures over white, as many as all together may be large."""
    frames: list[Tensor] = []
    for file in files:
        frames.append(over_white(read(file)))
        raster.check_frames(folder, (len(frames), *frames[-1].shape[1:]), MAX_PIXELS)
    return frames


def over_white(picture: UInt8[Tensor, "_ h w"]) -> UInt8[Tensor, "c h w"]:
    """A picture in bytes, perhaps with alpha, laid over white."""
    return to_bytes(over(to_float(picture), "white"))


def stacked(pictures: Sequence[UInt8[Tensor, "_ _ _"]], path: PurePath) -> Float[Tensor, "f c h w"]:
    """Pictures as frames in [-1, 1]: with one channel if all are grey, and three otherwise.

    Args:
        pictures: The pictures, in bytes and without alpha.
        path: Where they come from, for error messages.

    Raises:
        InputError: There is none, or they differ in size.
    """
    if not pictures:
        raise InputError(f"{path} holds no frame; give a folder of pictures, a .gif, a .npz or a video.")
    sizes = [(one.shape[1], one.shape[2]) for one in pictures]
    for i, size in enumerate(sizes):
        if size != sizes[0]:
            raise InputError(
                f"frame {i} of {path} is {size[0]}x{size[1]} and frame 0 is {sizes[0][0]}x{sizes[0][1]}; "
                "give frames of one size."
            )
    channels = max(len(one) for one in pictures)
    frames = torch.stack([one.expand(channels, -1, -1) for one in pictures])
    # a video of a grey scene is stored in colour, and its conversion may be off by one
    grey = (frames.amax(1).int() - frames.amin(1).int()).max() <= 2
    return to_float(frames.float().mean(1, keepdim=True).round().byte() if grey else frames)


def _array(path: Path, most: int | None) -> Float[Tensor, "f c h w"]:
    """Frames of the one array of a file that has the shape of frames; its header is read before it is."""
    try:
        with _members(path) as members:
            found = [(file, shape, kind) for file, shape, kind in members if _has_frames(shape)]
            if len(found) != 1:
                raise InputError(f"{path} holds {len(found)} arrays of frames; save one, f x h x w or f x h x w x 3.")
            ((file, shape, kind),) = found
            if not (kind == np.uint8 or kind.kind == "f" and kind.itemsize <= 8):
                raise InputError(
                    f"{path} holds {kind.name} and neither bytes nor floats in [-1, 1]; convert the frames."
                )
            raster.check_frames(path, shape[:3], MAX_PIXELS)
            file.seek(0)
            array = np.lib.format.read_array(file, allow_pickle=False)[:most]
    except InputError:
        raise
    except Exception as error:  # on damaged headers numpy's parser raises errors of any type
        raise InputError(
            f"{path} cannot be read as arrays ({' '.join(str(error).split())[:200]}); replace it."
        ) from error
    array = array if array.ndim == 4 else array[..., None]
    frames = torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("="))).movedim(-1, 1)
    if frames.dtype == torch.uint8:
        return stacked(list(frames), path)
    if bool((frames.abs() > 1).any()):
        raise InputError(f"{path} holds neither bytes nor floats in [-1, 1]; scale the frames to one of them.")
    return frames.float()


_Member = tuple[Any, tuple[int, ...], np.dtype]
"""An open file of one array, and the array's shape and type."""


@contextmanager
def _members(path: Path) -> Iterator[list[_Member]]:
    """Every array of a .npy or .npz file. Members that are no arrays are passed over.

    Raises:
        ValueError: A header is damaged, or its array is larger than the rest of the file.
    """
    with open(path, "rb") as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield [(file, *_header(file, path.stat().st_size))]
            return
        with zipfile.ZipFile(file) as archive:
            arrays = [one for one in archive.infolist() if one.filename.endswith(".npy")]
            opened = [archive.open(one) for one in arrays]
            yield [(one, *_header(one, info.file_size)) for one, info in zip(opened, arrays, strict=True)]


def _header(file: Any, size: int) -> tuple[tuple[int, ...], np.dtype]:  # noqa: ANN401  (any open file)
    """Shape and type of the array in a .npy file of a size in bytes.

    Raises:
        ValueError: The header is damaged, or the file is cut short.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of its format, which numbers do not need")
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(file)
    if min(shape, default=0) < 0 or (not kind.hasobject and math.prod(shape) * kind.itemsize > size - file.tell()):
        raise ValueError(f"shape {str(shape)[:60]}, and the file is too short for it")
    return shape, kind


def _has_frames(shape: Sequence[int]) -> bool:
    """Whether an array of this shape is f h w or f h w c, and not empty."""
    return len(shape) in (3, 4) and math.prod(shape) > 0 and (len(shape) == 3 or shape[-1] in (1, 3))


def _video(path: Path, most: int | None) -> Float[Tensor, "f c h w"]:
    """Frames that OpenCV decodes. How many a video says it holds is no promise: a cut that copies keeps the count."""
    try:
        import cv2
    except ImportError as error:
        raise InputError(f"{path} is read with OpenCV, which is missing; pip install 's2id[frames]'.") from error
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # errors are reported below, in one sentence
    film, pages = cv2.VideoCapture(str(path)), list[Tensor]()
    try:
        said = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
        while most is None or len(pages) < most:
            more, page = film.read()
            if not more:
                break
            raster.check_frames(path, (len(pages) + 1, *page.shape[:2]), MAX_PIXELS)
            pages.append(torch.from_numpy(cv2.cvtColor(page, cv2.COLOR_BGR2RGB)).movedim(-1, 0))
    except cv2.error as error:
        raise InputError(f"{path} cannot be decoded ({error.err}); convert it to .mp4 or to pictures.") from error
    finally:
        film.release()
    if not pages:
        raise InputError(f"{path} is no video that can be decoded; convert it to .mp4 or to a folder of pictures.")
    if len(pages) < min(said, most or said):
        _LOG.warning("%s says that it holds %d frames, and %d can be decoded: these are read", path, said, len(pages))
    return stacked(pages, path)
