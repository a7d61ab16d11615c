"""Files that clients send: read by another process, within limits, as the command line reads files of a disk."""

import json
from pathlib import PurePath

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.errors import InputError
from s2id.guarded import Guarded
from s2id.inverse.frames import over_white, stacked
from s2id.studio.forms import Upload
from s2id.studio.reading_process import HEAD, SHAPE

_SECONDS = 10
"""Time of the processor that reading a file may take."""

_MEGABYTES, _PER_MEGAPIXEL = 768, 40
"""Memory that reading a file may take: this, and for each 2^20 pixels that are allowed as many MiB more."""


class Reader:
    """What reads files."""

    def __init__(self, megapixels: int) -> None:
        """A reader of pictures of at most so many times 2^20 pixels together."""
        self.most = megapixels * 2**20
        self._megabytes = _MEGABYTES + _PER_MEGAPIXEL * megapixels
        self._process = Guarded("s2id.studio.reading_process", "reading")

    def picture(self, file: Upload, channels: int | None = None) -> UInt8[Tensor, "c h w"]:
        """The picture in a file; arguments and errors as for `images.decode`."""
        return self._read(file, channels=channels)[0]

    def frames(self, files: list[Upload]) -> Float[Tensor, "f c h w"]:
        """Frames of one animation, or of several pictures in the order of their names, as `read_frames` gives them.

        Raises:
            InputError: A file cannot be read, or frames differ in size.
        """
        if len(files) == 1:
            pages = list(self._read(files[0], frames=True))
        else:
            pages, left = [], self.most
            for file in sorted(files, key=lambda file: file.name):
                pages.append(over_white(self._read(file, most=left)[0]))
                left -= pages[-1][0].numel()
        return stacked(pages, PurePath(files[0].name if len(files) == 1 else "the upload"))

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _read(
        self, file: Upload, channels: int | None = None, frames: bool = False, most: int | None = None
    ) -> UInt8[Tensor, "f c h w"]:
        asked = {"name": file.name, "channels": channels, "frames": frames}
        head = json.dumps({**asked, "most": self.most if most is None else most}).encode()
        try:
            answer = self._process.ask(HEAD.pack(len(head)) + head + file.content, _SECONDS, self._megabytes)
        except ValueError as error:
            sentence = str(error)
            if not sentence.endswith("."):  # the process was lost
                sentence = f"{file.name} cannot be read as a picture ({sentence}); send another."
            raise InputError(sentence) from None
        shape = SHAPE.unpack_from(answer)
        pixels = np.frombuffer(bytearray(answer[SHAPE.size :]), np.uint8).reshape(shape)
        return torch.from_numpy(pixels).movedim(-1, 1)
