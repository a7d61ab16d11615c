"""Data sets as groups of pictures of one size, with what is known of them; every batch is drawn from one group.

MNIST and Fashion-MNIST come from their published idx files, CelebA from its own, other pictures from a folder with a
metadata file or a subfolder per class, glyphs from a folder of fonts, and the 8x8 digits of scikit-learn need no file.
"""

import gzip
import hashlib
import shutil
import struct
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from PIL import Image
from torch import Tensor

from s2id import glyphs
from s2id.condition import Condition
from s2id.config import InputError, Size
from s2id.images import replacing
from s2id.metadata import METADATA, Table, read_celeba, read_metadata
from s2id.shapes import NULL
from s2id.store import store

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
    latents: Float16[Tensor, "n k y x"] | None = None
    """What an autoencoder made of the pictures, as `latents.encoded` scaled it."""

    def condition(self, chosen: Int[Tensor, " b"]) -> Condition:
        """What is known of some pictures."""
        return Condition(self.labels.long(), self.attributes, self.numbers, self.tokens)[chosen]


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
    """Files that could not be read, and why."""
    latents: Latents | None = None
    """What the groups' latents are, if they have any."""

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
        lost = f", {len(self.skipped)} unreadable files skipped" if self.skipped else ""
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

NAMES = (*_PUBLISHED, "digits", "glyphs", "celeba", "folder")
"""The data sets that `load` knows."""

CACHE = Path.home() / ".cache" / "s2id"


def load(name: str, folder: Path | None = None, split: Split = "train", long_side: int | None = None) -> Pictures:
    """A data set by name.

    Args:
        name: "mnist", "fashion-mnist", "digits" (scikit-learn's, 8x8), "glyphs", "celeba" or "folder".
        folder: Where the files are; `None` looks in ./data and, for idx files, the cache and then downloads.
        split: "digits" keeps every fifth picture for its test split, "glyphs" about every tenth font, "celeba" what
            its list_eval_partition.txt says or else every tenth picture; a folder has one split only.
        long_side: Of "celeba" and "folder", shrink larger pictures to this; `None` leaves them as they are.

    Raises:
        InputError: The files are missing, unreadable or not what they should be.
    """
    if name in _PUBLISHED:
        return _idx_set(name, folder, split)
    if name == "digits":
        return _digits(split)
    if name == "glyphs":
        return _glyphs(folder or Path("data"), split)
    if name == "folder":
        if folder is None:
            raise InputError("a folder of images needs --data FOLDER.")
        return image_folder(folder, long_side)
    if name == "celeba":
        return _celeba(folder or Path("data"), split, long_side)
    raise InputError(f"data set {name!r} is unknown; choose {', '.join(NAMES)}.")


def image_folder(folder: Path, long_side: int | None = None) -> Pictures:
    """All pictures of a folder, with what its metadata.csv or metadata.jsonl says of them.

    Without such a file its subfolders, if any, are the classes. Unreadable files are named and skipped.

    Args:
        folder: The folder.
        long_side: Shrink larger pictures to this; `None` leaves them as they are.

    Raises:
        InputError: There is no folder, no readable picture in it, or a row of metadata that cannot be understood.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds images.")
    files = _pictures_below(folder)
    described = next((folder / name for name in METADATA if (folder / name).is_file()), None)
    if described is None:
        return _gathered(folder.name, folder, files, _subfolders(folder, files), long_side)
    table = read_metadata(described)
    rows = {Path(name).as_posix(): i for i, name in enumerate(table.files)}
    names = [file.relative_to(folder).as_posix() for file in files]
    missing = tuple(
        f"{described} names {name}, which is no picture of the folder." for name in sorted(rows.keys() - {*names})
    )
    ordered = _rows(table, [rows.get(name, -1) for name in names])
    pictures = _gathered(folder.name, folder, files, ordered, long_side)
    return replace(pictures, skipped=(*pictures.skipped, *missing))


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


def _celeba(folder: Path, split: Split, long_side: int | None) -> Pictures:
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
    return _gathered("celeba", root, files, _rows(table, [rows[file.name] for file in files]), long_side)


def _pictures_below(folder: Path) -> list[Path]:
    endings = set(Image.registered_extensions())
    return [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in endings and p.is_file()]


def _subfolders(folder: Path, files: list[Path]) -> Table:
    """What the subfolders' names say."""
    classes = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    index = {name: i for i, name in enumerate(classes)}
    paths = [file.relative_to(folder) for file in files]
    label = torch.tensor([index.get(path.parts[0], NULL) for path in paths], dtype=torch.long)
    return Table(tuple(path.as_posix() for path in paths), Condition(label), tuple(classes))


def _rows(table: Table, order: list[int]) -> Table:
    """Some rows of a table; -1 is a row of which nothing is known."""
    chosen = torch.tensor(order, dtype=torch.long)
    known = table.known[chosen].where(chosen >= 0) if table.files else Condition(torch.full_like(chosen, NULL))
    texts = tuple(table.texts[i] if i >= 0 else "" for i in order) if table.texts else ()
    files = tuple(table.files[i] if i >= 0 else "" for i in order)
    return replace(table, files=files, known=known, texts=texts)


def _gathered(name: str, root: Path, files: list[Path], table: Table, long_side: int | None) -> Pictures:
    """The readable ones of the files, which the table describes in their order."""
    if long_side is not None and long_side < 1:
        raise InputError(f"long_side is {long_side}; it must be at least 1.")
    stored, skipped = store(root, files, long_side, CACHE / "pictures")
    if not stored:
        lost = f"; {len(skipped)} files could not be read, the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{root} holds no readable images{lost}; put .png, .jpg or .webp files there.")
    groups = []
    for group in stored:
        known = table.known[group.index]
        texts = tuple(table.texts[i] for i in group.index.tolist()) if table.texts else ()
        groups.append(Group(group.images, known.label, known.attributes, known.numbers, None, texts))
    return Pictures(name, tuple(groups), table.classes, table.attributes, table.numbers, table.number_ranges, skipped)


def batch_at(pictures: Pictures, number: int, size: int, seed: int) -> tuple[UInt8[Tensor, "b c h w"], Condition]:
    """Pictures of batch `number` of the stream of `chosen_at`, and what is known of them."""
    group, chosen = chosen_at(pictures, number, size, seed)
    return group.images[chosen], group.condition(chosen)


def chosen_at(pictures: Pictures, number: int, size: int, seed: int) -> tuple[Group, Int[Tensor, " b"]]:
    """Group and indices of batch `number` of an endless, shuffled stream that depends on the seed alone.

    Every epoch visits every picture; a group's last batch is filled from the group's own start.
    """
    per_group = [-(-len(group.labels) // size) for group in pictures.groups]
    epoch, position = divmod(number, sum(per_group))
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(sum(per_group))[position] if len(per_group) > 1 else position
    index = int(np.searchsorted(np.cumsum(per_group), order, side="right"))
    group, first = pictures.groups[index], order - sum(per_group[:index])
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
    images, labels, skipped = glyphs.pictures(files)
    if not len(images):
        lost = f"; {len(skipped)} cannot be used, the first: {skipped[0]}" if skipped else ""
        raise InputError(f"{folder} holds no usable font for the {split} split{lost}; put more .ttf files there.")
    return Pictures("glyphs", (Group(images, labels),), glyphs.CHARACTERS, skipped=skipped)


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
        with open_url(published.source + file, timeout=30) as answer, replacing(target) as out:  # type: ignore[attr-defined]
            shutil.copyfileobj(answer, out)
    except (urllib.error.URLError, TimeoutError) as error:
        raise InputError(
            f"{file} of {name} is not here and cannot be downloaded; put the four files "
            f"{_names(name)} into a folder and name it with --data."
        ) from error
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != published.sha256[file]:
        target.unlink()
        raise InputError(
            f"the download of {file} is not the published one (sha256 {found[:12]}..., expected "
            f"{published.sha256[file][:12]}...); fetch it another way and use --data."
        )
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
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise InputError(f"{path} is no complete idx file ({error or 'it ends early'}); fetch it again.") from error
