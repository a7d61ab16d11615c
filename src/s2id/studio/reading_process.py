"""A program that decodes picture files that clients send, one after another, for `studio.uploads`, which starts it.

Decoders have had holes, and small files become huge pictures. So they run where no more than a process can be lost
(`guarded_process`). torch is not imported, which keeps the process small.
"""

import json
import struct
from io import BytesIO

import numpy as np

from s2id.guarded_process import serve
from s2id.media.formats import endings
from s2id.media.raster import pages, pixels

HEAD = struct.Struct("!Q")
"""Length of the settings in JSON: name, frames (whether all frames are asked for), channels, most (pixels). Then they
follow, and then the file."""

SHAPE = struct.Struct("!QQQQ")
"""Number of pictures, height, width and channels, before their bytes."""


def main() -> None:
    """Answer requests, each with pictures in bytes."""
    endings()  # which loads decoders, while files can still be opened
    serve(answer)


def answer(content: bytes) -> bytes:
    """Shape and bytes of the picture, or of all frames, of a request.

    Raises:
        InputError: The file cannot be read.
    """
    (length,) = HEAD.unpack_from(content)
    start = HEAD.size + length
    asked = json.loads(content[HEAD.size : start])
    file, name, most = BytesIO(content[start:]), asked["name"], asked["most"]
    if asked["frames"]:
        whole = np.stack(list(pages(file, name, most=most)))
    else:
        whole = pixels(file, name, asked["channels"], most)[None]
    return SHAPE.pack(*whole.shape) + whole.tobytes()


if __name__ == "__main__":
    main()
