"""The data sets by name, and loading one of them.

To add a data set, write a function from a `Request` to `Pictures` in a file of this folder and name it in `READERS`.
"""

from pathlib import Path

from s2id.data import celeba, digits, folder, fonts, hub, idx, ink, vectors
from s2id.data.pictures import Pictures, Split
from s2id.data.request import Reader, Request
from s2id.errors import InputError
from s2id.settings import Alpha

READERS: dict[str, Reader] = {
    "mnist": idx.read,
    "fashion-mnist": idx.read,
    "digits": digits.read,
    "glyphs": fonts.read,
    "ink": ink.read,
    "vectors": vectors.read,
    "celeba": celeba.read,
    "folder": folder.read,
    "hub": hub.read,
}
"""Name of each data set -> the function that reads it."""


def load_pictures(
    name: str,
    folder: Path | None = None,
    split: Split = "train",
    long_side: int | None = None,
    *,
    workers: int = 0,
    min_side: int = 1,
    alpha: Alpha | None = None,
) -> Pictures:
    """The data set of that name.

    Args:
        name: A key of `READERS`.
        folder: Folder of the data set's files. `None` looks in ./data; MNIST and Fashion-MNIST are then also looked for
            in the cache and downloaded. For "hub" the name of the data set on the Hugging Face Hub (ylecun/mnist or
            NAME:SUBSET), or a folder that holds one.
        split: "train" or "test". The test split is every fifth picture of "digits", about every tenth font of "glyphs"
            and "ink", what `data.split` holds out of "vectors", and for "celeba" what list_eval_partition.txt names or
            else every tenth picture. "folder" has one split, which both names return.
        long_side: Pictures of "celeba", "folder" and "hub" with more pixels along the longer side are shrunk to this;
            `None` leaves them as they are. SVG files and "ink" are drawn with this many; `None` draws
            SVG files with 64 and "ink" with 28.
        workers: Processes that decode pictures the first time they are read. 0 decodes in this process.
        min_side: Pictures of "celeba", "folder" and "hub" with fewer pixels along the shorter side are left out.
        alpha: What becomes of transparency in pictures of "folder", "vectors" and "hub": "keep" makes all of them RGBA,
            or grey + alpha; "white", "black", "checker" or "#rrggbb" is the ground that they are laid over. `None`
            keeps it if more than one picture in a hundred has any, and else lays it over white.

    Raises:
        InputError: The name is unknown, or the files are missing, unreadable or of another kind.

    >>> load_pictures("digits", split="test").size
    (8, 8)
    """
    reader = READERS.get(name)
    if reader is None:
        raise InputError(f"data set {name!r} is unknown; choose {', '.join(READERS)}.")
    request = Request(name, folder, split, long_side, min_side, alpha, workers)
    try:
        return reader(request)
    except OSError as error:
        place, reason = error.filename or request.place, error.strerror or error
        raise InputError(f"{place} cannot be read ({reason}); let it be read, or remove it.") from error
