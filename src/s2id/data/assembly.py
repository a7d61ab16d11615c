"""From files on disk to a data set: the cached pixels meet the table of labels."""

from collections.abc import Sequence
from pathlib import Path

from s2id.data.cache import Kept, store
from s2id.data.drawings import Drawing, decode, truth
from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.data.table import Table
from s2id.errors import InputError


def stored(
    root: Path, files: list[Path], request: Request, part: str = "", skipped: Sequence[str] = (), pad: bool = False
) -> Kept:
    """Cached pictures of files, among them drawings.

    Args:
        root: Folder of the files.
        files: The files of pictures.
        request: Gives the long side, what becomes of transparency, and the number of processes.
        part: Name of this part of the folder, where several parts are cached separately.
        skipped: A sentence for each thing in the folder that is left out already.
        pad: Whether pictures of rare sizes get transparent margins, as for `cache.keep`.

    Raises:
        InputError: No file is readable.
    """
    kept = store(root, files, request.long_side, request.workers, decode, part, request.alpha, pad)
    if not kept.groups:
        raise InputError(
            f"{root} holds no readable images{unread(kept.skipped, *skipped)}; put .png, .jpg, .webp or .svg files "
            "there."
        )
    return kept


def unread(skipped: Sequence[str], *others: str) -> str:
    """Part of an error message: how many files could not be read, the first one, and what else was left out.

    Args:
        skipped: A sentence for each file that could not be read.
        others: Sentences about everything else; three of them are said.
    """
    first = [f"{len(skipped)} files could not be read, the first: {skipped[0]}"] if skipped else []
    return "".join(f"; {sentence.rstrip('.')}" for sentence in (*first, *others[:3]))


def assemble(name: str, kept: Kept, table: Table, min_side: int, drawing: Drawing | None = None) -> Pictures:
    """Data set of cached pictures and the labels of their rows in a table.

    Args:
        name: Name of the data set.
        kept: The pictures; their `index` refers to the table's rows.
        table: Labels of every row.
        min_side: Pictures whose shorter side has fewer pixels are left out.
        drawing: Function that gives the drawing of each row, if all are drawings; they are then known at every size.

    Raises:
        InputError: Every picture is left out.
    """
    groups, small = [], []
    for group in kept.groups:
        channels, height, width = group.images.shape[1:]
        if min(height, width) < min_side:
            small += [
                f"{table.files[i] or f'row {i}'} has {height}x{width} pixels, and both sides need {min_side}; none is "
                "enlarged."
                for i in group.index.tolist()
            ]
            continue
        known = table.known[group.index]
        texts = tuple(table.texts[i] for i in group.index.tolist()) if table.texts else ()
        known_at_any = drawing and truth(drawing, group.index.tolist(), (height, width), channels, kept.alpha)
        labels = (known.label, known.attributes, known.numbers)
        groups.append(Group(group.images, *labels, texts=texts, truth=known_at_any))
    skipped = (*kept.skipped, *small)
    if not groups:
        lost = f"; the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{name} holds no picture that can be used{lost}")
    names = (table.classes, table.attributes, table.numbers, table.number_ranges)
    return Pictures(name, tuple(groups), *names, skipped, alpha=kept.alpha)
