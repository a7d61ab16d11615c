"""Data sets as groups of pictures of one size, with what is known of them; every batch is drawn from one group.

MNIST and Fashion-MNIST come from their published idx files, CelebA from its own, other pictures from a folder with a
metadata file or a subfolder per class or from the Hugging Face Hub, glyphs from a folder of fonts, emoji from a folder
of SVGs, and the 8x8 digits of scikit-learn need no file.
"""

import gzip
import hashlib
import http.client
import struct
import unicodedata
import urllib.request
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from PIL import Image
from torch import Tensor

from s2id import emoji, glyphs
from s2id.condition import Condition, scaled
from s2id.config import InputError, Size
from s2id.hub import pictures_of
from s2id.images import replacing
from s2id.metadata import METADATA, Table, read_celeba, read_metadata
from s2id.shapes import NULL
from s2id.store import Kept, store

Split = Literal["train", "test"]

DIGITS = tuple("0123456789")
CLOTHES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Pictures of one size."""

    images: UInt8[Tensor, "n c h w"]
    labels: Int[Tensor, " n"]
    attributes: Int[Tensor, "n a"] | None = None
    """1 present, -1 absent, 0 unknown."""
    numbers: Float[Tensor, "n k"] | None = None
    """Scaled to -1 to 1 over the data; NaN is unknown."""
    tokens: Float[Tensor, "n t d"] | None = None
    """Of the texts, as `with_tokens` made them."""
    texts: tuple[str, ...] = ()
    """Caption of each picture, or none at all."""
    truth: Callable[[int, Size], Float[Tensor, "c h w"]] | None = None
    """A picture at any size, by its index, where more than its pixels is known."""
    latents: Float16[Tensor, "n k y x"] | None = None
    """What an autoencoder made of the pictures, as `latents.encoded` scaled it."""

    def condition(self, chosen: Int[Tensor, " b"] | None = None) -> Condition:
        """What is known of some pictures, or of all."""
        known = Condition(self.labels.long(), self.attributes, self.numbers, self.tokens)
        return known if chosen is None else known[chosen]


@dataclass(frozen=True)
class Latents:
    """Where the groups' latents come from: `(what the autoencoder says - mean) / std`."""

    autoencoder: str
    """Its class and the SHA-256 of its weights."""
    factor: int
    """Pixels per side of a latent sample."""
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Pictures:
    """A data set."""

    name: str
    groups: tuple[Group, ...]
    labels: tuple[str, ...]
    """Name of each class."""
    attributes: tuple[str, ...] = ()
    """Name of each attribute."""
    numbers: tuple[str, ...] = ()
    """Name of each number."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Least and most of each number."""
    skipped: tuple[str, ...] = ()
    """What was left out, files that cannot be read and all else, and why."""
    latents: Latents | None = None
    """What the groups' latents are, if they have any."""
    kind: str = ""
    """What read them, "folder" or "hub", whose pictures have a name of their own; empty where `name` says it."""

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """Of labels, attributes and numbers."""
        return self.labels, self.attributes, self.numbers

    @property
    def token_width(self) -> int:
        """Channels of a text's tokens; 0 without."""
        tokens = self.groups[0].tokens
        return 0 if tokens is None else tokens.shape[2]

    @property
    def channels(self) -> int:
        """Colour channels of every picture."""
        return self.groups[0].images.shape[1]

    @property
    def _most(self) -> Group:
        return max(self.groups, key=lambda group: len(group.labels))

    @property
    def size(self) -> Size:
        """Height and width of most of the pictures."""
        return self._most.images.shape[2], self._most.images.shape[3]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of most of the pictures' latents; zeros without."""
        latents = self._most.latents
        return (0, 0, 0) if latents is None else (latents.shape[1], latents.shape[2], latents.shape[3])

    def __len__(self) -> int:
        """Number of pictures."""
        return sum(len(group.labels) for group in self.groups)

    def __str__(self) -> str:
        """What was found, in one line."""
        sizes = ", ".join(f"{len(g.labels)} of {g.images.shape[2]}x{g.images.shape[3]}" for g in self.groups[:4])
        more = f" and {len(self.groups) - 4} more sizes" if len(self.groups) > 4 else ""
        kind = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}[self.channels]
        counted = {"classes": self.labels, "attributes": self.attributes, "numbers": self.numbers}
        known = ", ".join(f"{len(names)} {what}" for what, names in counted.items() if names or what == "classes")
        lost = f", {len(self.skipped)} left out" if self.skipped else ""
        return f"{self.name}: {len(self)} {kind} images ({sizes}{more}), {known}{lost}"


@dataclass(frozen=True)
class _Published:
    """Where a data set of four idx files is published, and what they must be."""

    source: str
    labels: tuple[str, ...]
    sha256: dict[str, str]


_PUBLISHED = {
    "mnist": _Published(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        DIGITS,
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _Published(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        CLOTHES,
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
}

NAMES = (*_PUBLISHED, "digits", "glyphs", "emoji", "celeba", "folder", "hub")
"""The data sets that `load` knows."""

CACHE = Path.home() / ".cache" / "s2id"


def load(
    name: str,
    folder: Path | None = None,
    split: Split = "train",
    long_side: int | None = None,
    *,
    least: int = 1,
    workers: int = 0,
) -> Pictures:
    """A data set by name.

    Args:
        name: "mnist", "fashion-mnist", "digits" (scikit-learn's, 8x8), "glyphs", "emoji", "celeba", "folder" or "hub".
        folder: Where the files are; `None` looks in ./data and, for idx files, the cache and then downloads. Of "hub"
            the name of the data set there, as in ylecun/mnist or NAME:SUBSET, or a folder of one.
        split: "digits" keeps every fifth picture for its test split, "glyphs" and "emoji" about every tenth font or
            base, "celeba" what its list_eval_partition.txt says or else every tenth picture; a folder has one
            split only.
        long_side: Of "celeba", "folder" and "hub", shrink larger pictures to this; `None` leaves them as they are. Of
            "emoji", draw them at this; `None` is 32.
        least: Of these, leave out pictures with fewer pixels than this on a side.
        workers: Of these, processes that read pictures for the first time; 0 reads in this one.

    Raises:
        InputError: The files are missing, unreadable or not what they should be.
    """
    if name in _PUBLISHED:
        return _idx_set(name, folder, split)
    if name == "digits":
        return _digits(split)
    if name == "glyphs":
        return _glyphs(folder or Path("data"), split)
    if name not in NAMES:
        raise InputError(f"data set {name!r} is unknown; choose {', '.join(NAMES)}.")
    if long_side is not None and long_side < 1:
        raise InputError(f"long_side is {long_side}; it must be at least 1.")
    if name == "emoji":
        return _emoji(folder or Path("data"), split, long_side or emoji.SIDE, workers)
    if name == "celeba":
        return _celeba(folder or Path("data"), split, long_side, least, workers)
    if folder is None:
        wanted = "a folder of images needs --data FOLDER." if name == "folder" else "the Hub needs --data NAME."
        raise InputError(wanted)
    if name == "hub":
        kept, table = pictures_of(folder.as_posix(), split, long_side, CACHE / "pictures", workers)
        pictures = _gathered(folder.as_posix(), kept, table, least)
        unused = ", ".join(kept.facts["left"])
        said = (f"columns {unused} of {folder.as_posix()}, which are nothing that is learned.",) if unused else ()
        return replace(pictures, skipped=(*pictures.skipped, *said), kind="hub")
    return image_folder(folder, long_side, least=least, workers=workers)


def image_folder(folder: Path, long_side: int | None = None, *, least: int = 1, workers: int = 0) -> Pictures:
    """All pictures of a folder, with what its metadata.csv or metadata.jsonl says of them.

    Without such a file its subfolders, if any, are the classes. Unreadable files are named and skipped; a picture
    without a row is one of which nothing is known.

    Args:
        folder: The folder.
        long_side: Shrink larger pictures to this; `None` leaves them as they are.
        least: Leave out pictures with fewer pixels than this on a side.
        workers: Processes that read pictures for the first time; 0 reads in this one.

    Raises:
        InputError: There is no folder, no readable picture in it, or metadata that cannot be understood.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds images.")
    if long_side is not None and long_side < 1:
        raise InputError(f"long_side is {long_side}; it must be at least 1.")
    files = _pictures_below(folder)
    described = [folder / name for name in METADATA if (folder / name).is_file()]
    if len(described) > 1:
        raise InputError(f"{folder} has {' and '.join(METADATA)}, which may contradict each other; keep one of them.")
    table, missing = _described(described[0], folder, files) if described else (_subfolders(folder, files), ())
    pictures = _gathered(folder.name, _stored(folder, files, long_side, workers), table, least)
    return replace(pictures, skipped=(*pictures.skipped, *missing), kind="folder")


def _described(path: Path, folder: Path, files: list[Path]) -> tuple[Table, tuple[str, ...]]:
    """What a metadata file says of each of the files, and which of its rows are of none of them."""
    table = read_metadata(path)
    rows = {_same(Path(name).as_posix()): i for i, name in enumerate(table.files)}
    names = [_same(file.relative_to(folder).as_posix()) for file in files]
    lost = sorted(rows.keys() - {*names})
    if files and rows and len(lost) == len(rows):
        raise InputError(
            f"{path} names none of the folder's pictures: it has {lost[0]} and the folder {names[0]}; give file_name "
            "as the path from the folder, with the ending."
        )
    missing = tuple(f"{path} names {name}, which is no picture of the folder." for name in lost)
    return _rows(table, [rows.get(name, -1) for name in names]), missing


def _same(name: str) -> str:
    """A name as it compares: an accented letter may be one character or two, by the system that wrote it."""
    return unicodedata.normalize("NFC", name)


def with_tokens(pictures: Pictures, encode: Callable[[str], Float[Tensor, "t d"]]) -> Pictures:
    """The pictures with their texts as tokens, for a model to attend to.

    Args:
        pictures: With texts.
        encode: Any text encoder: a text's tokens. The same one goes with the model ever after.

    Raises:
        InputError: No picture has a text.
    """
    texts = {text for group in pictures.groups for text in group.texts if text}
    if not texts:
        raise InputError(f"{pictures.name} has no texts; add a column `text` to its metadata file.")
    said = {text: encode(text).detach().cpu() for text in sorted(texts)}
    width = next(iter(said.values())).shape[1]
    groups = []
    for group in pictures.groups:
        long = max((len(said[text]) for text in group.texts if text), default=1)
        tokens = torch.full((len(group.labels), long, width), torch.nan)
        for row, text in zip(tokens, group.texts, strict=True):
            if text:
                row[: len(said[text])] = said[text]
        groups.append(replace(group, tokens=tokens))
    return replace(pictures, groups=tuple(groups))


def rescaled(pictures: Pictures, ranges: Sequence[tuple[float, float]]) -> Pictures:
    """The pictures with their numbers scaled as those of another set, whose model hears them so.

    Args:
        pictures: With as many numbers.
        ranges: Least and most of each in the other set.
    """

    def heard(numbers: Float[Tensor, "n k"] | None) -> Float[Tensor, "n k"] | None:
        if numbers is None:
            return None
        columns = zip(numbers.T, pictures.number_ranges, ranges, strict=True)
        return torch.stack([scaled(low + (own + 1) / 2 * (high - low), *to) for own, (low, high), to in columns], 1)

    groups = tuple(replace(group, numbers=heard(group.numbers)) for group in pictures.groups)
    return replace(pictures, groups=groups, number_ranges=tuple(ranges))


def _celeba(folder: Path, split: Split, long_side: int | None, least: int, workers: int) -> Pictures:
    """CelebA as it is published: img_align_celeba/ and list_attr_celeba.txt."""
    roots = (folder, folder / "celeba", folder / "CelebA")
    root = next(
        (r for r in roots if (r / "list_attr_celeba.txt").is_file() and (r / "img_align_celeba").is_dir()), None
    )
    if root is None:
        raise InputError(
            f"{folder} holds no CelebA; put its img_align_celeba/ and list_attr_celeba.txt there "
            "(from mmlab.ie.cuhk.edu.hk/projects/CelebA.html) and name the folder with --data."
        )
    table = read_celeba(root / "list_attr_celeba.txt")
    rows = {name: i for i, name in enumerate(table.files)}
    named = [file for file in _pictures_below(root / "img_align_celeba") if file.name in rows]
    partition = root / "list_eval_partition.txt"
    if partition.is_file():
        words = (line.split() for line in partition.read_text().splitlines())
        number = {pair[0]: pair[1] for pair in words if len(pair) == 2}
        wanted = {"train": "0", "test": "2"}[split]
        files = [file for file in named if number.get(file.name) == wanted]
    else:
        files = [file for i, file in enumerate(named) if (i % 10 == 9) == (split == "test")]
    if not files:
        raise InputError(f"{root} holds no picture of CelebA's {split} split; bring more of img_align_celeba/.")
    known = _rows(table, [rows[file.name] for file in files])
    return _gathered("celeba", _stored(root, files, long_side, workers, split), known, least)


def _pictures_below(folder: Path) -> list[Path]:
    """Files with a picture's ending; hidden ones are thumbnails and the like."""
    Image.init()
    endings = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in endings
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    ]


def _subfolders(folder: Path, files: list[Path]) -> Table:
    """What the subfolders' names say."""
    paths = [file.relative_to(folder) for file in files]
    names = ["" if len(path.parts) == 1 else path.parts[0] for path in paths]
    classes = sorted({*names} - {""})
    index = {name: i for i, name in enumerate(classes)}
    label = torch.tensor([index.get(name, NULL) for name in names], dtype=torch.long)
    return Table(tuple(path.as_posix() for path in paths), Condition(label), tuple(classes))


def _rows(table: Table, order: list[int]) -> Table:
    """Some rows of a table; -1 is a row of which nothing is known."""
    chosen = torch.tensor(order, dtype=torch.long)
    known = table.known[chosen].where(chosen >= 0) if table.files else Condition(torch.full_like(chosen, NULL))
    texts = tuple(table.texts[i] if i >= 0 else "" for i in order) if table.texts else ()
    files = tuple(table.files[i] if i >= 0 else "" for i in order)
    return replace(table, files=files, known=known, texts=texts)


def _stored(root: Path, files: list[Path], long_side: int | None, workers: int, part: str = "") -> Kept:
    """The files' pictures by size; `part` names them where a folder is read in several.

    Raises:
        InputError: None is readable.
    """
    kept = store(root, files, long_side, CACHE / "pictures", workers, part=part)
    if not kept.groups:
        raise InputError(f"{root} holds no readable images{_unread(kept)}; put .png, .jpg or .webp files there.")
    return kept


def _unread(kept: Kept) -> str:
    """How many files could not be read, for a message that nothing is left; empty if all could."""
    return f"; {len(kept.skipped)} files could not be read, the first: {kept.skipped[0]}" if kept.skipped else ""


def _gathered(name: str, kept: Kept, table: Table, least: int) -> Pictures:
    """The pictures of both sides at least so long, and what the table says of each entry."""
    groups, small = [], []
    for group in kept.groups:
        height, width = group.images.shape[2:]
        if min(height, width) < least:
            small += [
                f"{table.files[i] or f'row {i}'} has {height}x{width} pixels, and both sides need {least}; none is "
                "enlarged."
                for i in group.index.tolist()
            ]
            continue
        known = table.known[group.index]
        texts = tuple(table.texts[i] for i in group.index.tolist()) if table.texts else ()
        groups.append(Group(group.images, known.label, known.attributes, known.numbers, None, texts))
    skipped = (*kept.skipped, *small)
    if not groups:
        lost = f"; the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{name} holds no picture that can be used{lost}")
    return Pictures(name, tuple(groups), table.classes, table.attributes, table.numbers, table.number_ranges, skipped)


def batch_at(pictures: Pictures, number: int, size: int, seed: int) -> tuple[UInt8[Tensor, "b c h w"], Condition]:
    """Pictures of batch `number` of the stream of `chosen_at`, and what is known of them."""
    group, chosen = chosen_at(pictures, number, size, seed)
    return group.images[chosen], group.condition(chosen)


def chosen_at(pictures: Pictures, number: int, size: int, seed: int) -> tuple[Group, Int[Tensor, " b"]]:
    """Group and indices of batch `number` of an endless, shuffled stream that depends on the seed alone.

    Every epoch visits every picture of the sizes that fill a batch; a group's last batch is filled from the group's own
    start. A group of fewer is visited in as many epochs as keep its pictures as frequent as others.
    """
    counts = np.array([len(group.labels) for group in pictures.groups])
    full = np.where(counts < size, 0, -(-counts // size))
    phase = np.random.default_rng((seed, len(counts))).integers(size, size=len(counts))

    def before(epoch: int) -> Int[np.ndarray, " g"]:
        return np.where(full, full * epoch, (counts * epoch + phase) // size)

    rare = full == 0
    per_epoch = full.sum() + counts[rare].sum() / size
    first, last = (int((number + slack) / per_epoch) for slack in (-rare.sum() - 1, rare.sum() + 1))
    epochs = range(max(0, first - 1), last + 1)
    epoch = epochs[bisect_right(epochs, number, key=lambda epoch: before(epoch + 1).sum())]
    per_group = before(epoch + 1) - before(epoch)
    position = number - int(before(epoch).sum())
    random = np.random.default_rng((seed, epoch))
    order = int(random.permutation(per_group.sum())[position]) if len(per_group) > 1 else position
    index = int(np.searchsorted(np.cumsum(per_group), order, side="right"))
    group, first = pictures.groups[index], order - int(per_group[:index].sum())
    shuffled = np.random.default_rng((seed, epoch, index)).permutation(len(group.labels))
    return group, torch.from_numpy(np.take(shuffled, np.arange(first * size, (first + 1) * size), mode="wrap"))


def _digits(split: Split) -> Pictures:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the 8x8 digits ship inside scikit-learn; pip install 's2id[data]' brings it.") from error
    digits = load_digits()
    images = torch.from_numpy((digits.images * (255 / 16)).round().astype(np.uint8))[:, None]
    held_out = torch.arange(len(images)) % 5 == 0
    keep = held_out if split == "test" else ~held_out
    return Pictures("digits", (Group(images[keep], torch.from_numpy(digits.target)[keep]),), DIGITS)


def _glyphs(folder: Path, split: Split) -> Pictures:
    files = [file for file in glyphs.font_files(folder) if glyphs.held_out(file) == (split == "test")]
    images, labels, fonts, skipped = glyphs.pictures(files)
    if not len(images):
        lost = f"; {len(skipped)} cannot be used, the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{folder} holds no usable font for the {split} split{lost}; put more .ttf files there.")

    def truth(index: int, size: Size) -> Float[Tensor, "1 h w"]:
        font, character = divmod(index, len(glyphs.CHARACTERS))
        return glyphs.raster(fonts[font], glyphs.CHARACTERS[character], size)[None] * 2 - 1

    return Pictures("glyphs", (Group(images, labels, truth=truth),), glyphs.CHARACTERS, skipped=skipped)


def _emoji(folder: Path, split: Split, side: int, workers: int) -> Pictures:
    files, table = emoji.find(folder)
    # all at once, for both splits: a folder has one store
    kept = store(files[0].parent, files, side, CACHE / "pictures", workers, emoji.read)
    rows = [row for group in kept.groups for row in group.index.tolist()]
    chosen = [i for i, row in enumerate(rows) if emoji.held_out(files[row]) == (split == "test")]
    if not chosen:
        raise InputError(
            f"{folder} holds no usable emoji for the {split} split{_unread(kept)}; put more of Noto's svg/ there."
        )
    paths = [files[rows[i]] for i in chosen]
    known = table.known[torch.tensor([rows[i] for i in chosen])]
    group = Group(
        kept.groups[0].images[torch.tensor(chosen)],
        known.label,
        known.attributes,
        truth=lambda index, size: emoji.raster(paths[index], size),
    )
    return Pictures("emoji", (group,), table.classes, table.attributes, skipped=kept.skipped)


def _idx_set(name: str, folder: Path | None, split: Split) -> Pictures:
    published = _PUBLISHED[name]
    stem = "train" if split == "train" else "t10k"
    images = _idx(_locate(name, f"{stem}-images-idx3-ubyte.gz", folder), dimensions=3)
    labels = _idx(_locate(name, f"{stem}-labels-idx1-ubyte.gz", folder), dimensions=1)
    if len(images) != len(labels):
        raise InputError(f"{name} has {len(images)} images and {len(labels)} labels; fetch its files again.")
    group = Group(torch.from_numpy(images)[:, None], torch.from_numpy(labels).long())
    return Pictures(name, (group,), published.labels)


def _locate(name: str, file: str, folder: Path | None) -> Path:
    """The file in the given folder, a usual place below it, or the cache; else downloaded into the cache."""
    roots = [folder] if folder else [Path("data"), CACHE]
    raw = {"mnist": "MNIST/raw", "fashion-mnist": "FashionMNIST/raw"}[name]
    for root in roots:
        for place in (root / name, root / raw, root):
            if (place / file).is_file() and (place != root or folder):
                return place / file
    if folder:
        raise InputError(f"{folder} holds no {file}; put the four files of {name} there: {_names(name)}.")
    return _download(name, file, CACHE / name / file)


def _names(name: str) -> str:
    return ", ".join(_PUBLISHED[name].sha256)


def _download(name: str, file: str, target: Path, open_url: Callable[..., object] = urllib.request.urlopen) -> Path:
    published = _PUBLISHED[name]
    try:
        with open_url(published.source + file, timeout=30) as answer:  # type: ignore[attr-defined]
            body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise InputError(
            f"{file} of {name} is not here and cannot be downloaded; put the four files "
            f"{_names(name)} into a folder and name it with --data."
        ) from error
    found = hashlib.sha256(body).hexdigest()
    if found != published.sha256[file]:
        raise InputError(
            f"the download of {file} is not the published one (sha256 {found[:12]}..., expected "
            f"{published.sha256[file][:12]}...); fetch it another way and use --data."
        )
    with replacing(target) as out:
        out.write(body)
    return target


def _idx(path: Path, dimensions: int) -> np.ndarray:
    """The bytes of an idx file, shaped as its header says (LeCun's format)."""
    try:
        with gzip.open(path) as file:
            raw = file.read()
        kind, shape = raw[2:4], struct.unpack_from(f">{dimensions}I", raw, 4)
        body = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions)
        if kind != bytes([8, dimensions]) or body.size != int(np.prod(shape)) or not body.size:
            raise ValueError("its header and length do not agree")
        return body.reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is no complete idx file ({error or 'it ends early'}); fetch it again.") from error
