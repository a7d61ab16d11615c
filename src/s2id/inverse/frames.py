"""Frames of one scene from a folder of pictures, a GIF, an array file or a video, as floats in [-1, 1]."""

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageSequence
from torch import Tensor

from s2id.alpha import over
from s2id.errors import InputError
from s2id.files import replacing
from s2id.images import read, to_bytes, to_float, to_pillow

_PICTURES = set(Image.registered_extensions()) - {".gif", ".mp4", ".mpg", ".mpeg"}


def read_frames(path: Path, most: int | None = None) -> Float[Tensor, "f c h w"]:
    """Frames in [-1, 1] over white, with one channel if all are grey and three otherwise.

    Args:
        path: A folder (its pictures in the order of their names), a .gif, a .npz or .npy with one array of frames
            (bytes 0..255, or floats in [-1, 1]; f h w, or f h w c), or a video that OpenCV reads.
        most: Largest number of frames to read; `None` reads all.

    Raises:
        InputError: There is no frame, frames differ in size or hold NaN, or the file is damaged or cut short.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give a folder of pictures, a .gif, a .npz or a video.")
    if path.is_dir():
        frames = _stack(
            [_over_white(file) for file in sorted(path.iterdir()) if file.suffix.lower() in _PICTURES][:most], path
        )
    elif path.suffix.lower() in (".npz", ".npy"):
        frames = _array(path)[:most]
    elif path.suffix.lower() == ".gif":
        frames = _gif(path, most)
    else:
        frames = _video(path, most)
    if not frames.isfinite().all():
        raise InputError(f"{path} holds NaN or infinity; leave such frames out or repair them.")
    return frames


def write_gif(path: Path, frames: Sequence[Float[Tensor, "c h w"]], seconds: float = 0.125) -> None:
    """Write frames in [-1, 1] as a GIF that repeats.

    Args:
        path: The file.
        frames: The frames, in order.
        seconds: Time that each frame is shown for.

    Raises:
        InputError: The file cannot be written.
    """
    first, *rest = (to_pillow(to_bytes(frame)) for frame in frames)
    with replacing(path) as file:
        first.save(file, "GIF", save_all=True, append_images=rest, duration=round(1000 * seconds), loop=0)


def _over_white(file: Path) -> UInt8[Tensor, "c h w"]:
    return to_bytes(over(to_float(read(file)), "white"))


def _stack(pictures: Sequence[UInt8[Tensor, "_ _ _"]], path: Path) -> Float[Tensor, "f c h w"]:
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


def _array(path: Path) -> Float[Tensor, "f c h w"]:
    try:
        with open(path, "rb") as file:
            held = np.load(file, allow_pickle=False)
            arrays = [held] if isinstance(held, np.ndarray) else [held[name] for name in held.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} cannot be read as arrays ({error}); replace it.") from error
    arrays = [one for one in arrays if one.ndim == 3 or (one.ndim == 4 and one.shape[-1] in (1, 3))]
    if len(arrays) != 1 or not arrays[0].size:
        raise InputError(f"{path} holds {len(arrays)} arrays of frames; save one, f x h x w or f x h x w x 3.")
    array = arrays[0] if arrays[0].ndim == 4 else arrays[0][..., None]
    frames = torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))
    frames = frames.movedim(-1, 1)
    if frames.dtype == torch.uint8:
        return _stack(list(frames), path)
    if not frames.is_floating_point() or bool((frames.abs() > 1).any()):
        raise InputError(f"{path} holds neither bytes nor floats in [-1, 1]; scale the frames to one of them.")
    return frames.float()


def _gif(path: Path, most: int | None) -> Float[Tensor, "f c h w"]:
    try:
        with Image.open(path) as film:
            pages = [np.array(page.convert("RGB")) for page in ImageSequence.Iterator(film)]
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read to its end ({error}); replace it.") from error
    return _stack([torch.from_numpy(page).movedim(-1, 0) for page in pages[:most]], path)


def _video(path: Path, most: int | None) -> Float[Tensor, "f c h w"]:
    try:
        import cv2
    except ImportError as error:
        raise InputError(f"{path} is read with OpenCV, which is missing; pip install 's2id[frames]'.") from error
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # errors are reported below, in one sentence
    film = cv2.VideoCapture(str(path))
    try:
        said, pages = int(film.get(cv2.CAP_PROP_FRAME_COUNT)), list[Tensor]()
        while most is None or len(pages) < most:
            more, page = film.read()
            if not more:
                break
            pages.append(torch.from_numpy(cv2.cvtColor(page, cv2.COLOR_BGR2RGB)).movedim(-1, 0))
    finally:
        film.release()
    if not pages:
        raise InputError(f"{path} is no video that can be decoded; convert it to .mp4 or to a folder of pictures.")
    if len(pages) < min(said, most or said):
        raise InputError(f"{path} holds {said} frames and {len(pages)} can be read; it is cut short, so replace it.")
    return _stack(pages, path)
