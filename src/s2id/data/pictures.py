"""Data sets in memory: groups of pictures of one size with their labels, and the order in which batches visit them."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from torch import Tensor

from s2id.checks import fits
from s2id.condition import Condition, cat, scaled
from s2id.errors import InputError
from s2id.settings import Alpha, Size
from s2id.shapes import NULL
from s2id.words import MOST_PAIRS

Split = Literal["train", "test"]
"""Part of a data set: pictures to train on, or pictures held out."""


@dataclass(frozen=True)
class Group:
    """Pictures of one size with their labels."""

    images: UInt8[Tensor, "n c h w"]
    """Pixels: grey, grey + alpha, RGB or RGBA, with colours premultiplied by alpha."""
    labels: Int[Tensor, " n"]
    """Class of each picture; NULL (-1) is unknown."""
    attributes: Int[Tensor, "n a"] | None = None
    """1 where an attribute is present, -1 where it is absent, 0 where it is unknown."""
    numbers: Float[Tensor, "n k"] | None = None
    """Numbers, scaled so that the data span -1 to 1; NaN is unknown."""
    tokens: Float[Tensor, "n t d"] | None = None
    """Captions as tokens of a text encoder, from `with_tokens`."""
    texts: tuple[str, ...] = ()
    """Caption of each picture. Empty if the data set has no captions."""
    words: Int[Tensor, "n m"] | None = None
    """Words of the captions, as indices among the data set's words; NULL (-1) is no word. Training learns them."""
    truth: Callable[[int, Size], Float[Tensor, "c h w"]] | None = None
    """Function (index, size) -> the true picture at any size, for data that are more than pixels (fonts, SVG)."""
    latents: Float16[Tensor, "n k y x"] | None = None
    """Pictures as an autoencoder encodes them, scaled by `training.latents.with_latents`."""

    @property
    def captions(self) -> tuple[str, ...]:
        """The caption of each picture, empty where there is none."""
        return self.texts or ("",) * len(self.labels)

    def condition(self, chosen: Int[Tensor, " b"] | None = None) -> Condition:
        """Labels of the chosen pictures, by default of all."""
        known = Condition(self.labels.long(), self.attributes, self.numbers, self.tokens, self.words)
        known = known if chosen is None else known[chosen]
        if known.words is None or chosen is None:
            return known
        return replace(known, words=known.words[:, : int((known.words >= 0).sum(1).max())])  # no columns of padding


def joined(groups: Sequence[Group]) -> Group:
    """One group of all pictures of several, which have one size; without latents and functions of their truth."""
    if len(groups) == 1:
        return replace(groups[0], truth=None, latents=None)
    known = cat([group.condition() for group in groups])
    return Group(
        torch.cat([group.images for group in groups]),
        known.label,
        known.attributes,
        known.numbers,
        known.tokens,
        tuple(text for group in groups for text in group.captions),
        known.words,
    )


@dataclass(frozen=True)
class Latents:
    """How an autoencoder's output became the latents: `(output - mean) / std`."""

    autoencoder: str
    """Class of the autoencoder and SHA-256 of its weights."""
    factor: int
    """Pixels per side of one latent sample."""
    mean: tuple[float, ...]
    """Mean of each channel."""
    std: tuple[float, ...]
    """Standard deviation of each channel."""


@dataclass(frozen=True)
class Pictures:
    """A data set: pictures, grouped by size, and the names of their labels."""

    made_by: ClassVar = "s2id.pictures"
    """Where users have it from, for messages."""

    name: str
    groups: tuple[Group, ...]
    labels: tuple[str, ...]
    """Name of each class."""
    attributes: tuple[str, ...] = ()
    """Name of each attribute."""
    numbers: tuple[str, ...] = ()
    """Name of each number."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Smallest and largest value of each number, which the groups hold as -1 and 1."""
    skipped: tuple[str, ...] = ()
    """One sentence for each file, row or column that was left out, and for each kind of files that are not read."""
    latents: Latents | None = None
    """How the groups' latents were made, if they have any."""
    alpha: Alpha = "white"
    """What became of transparency: "keep", or the ground that it was laid over."""
    finer: "Pictures | None" = None
    """Finer pictures of another source, from `with_finer`, that training borrows detail from."""
    words: tuple[str, ...] = ()
    """Words of captions that the groups refer to, the most frequent first."""
    reader: str = ""
    """Registry name of the reader, as "folder", of data that have a name of their own. Empty if `name` is it."""

    def __post_init__(self) -> None:
        """Refuse names that could not be written to a model's files, or told apart.

        Raises:
            InputError: A name is no text, or occurs twice.
        """
        for kind, names in zip(("class", "attribute", "number", "word"), (*self.names, self.words), strict=True):
            for name in names:
                if not fits(name, str) or "\0" in name:
                    raise InputError(f"the {kind} {name!r} of {self.name} has characters that are no text; rename it.")
            if len({*names}) < len(names):
                raise InputError(f"two of the data's {kind} names are the same; rename one of them.")

    @property
    def names(self) -> tuple[tuple[str, ...], ...]:
        """Names of the classes, of the attributes and of the numbers."""
        return self.labels, self.attributes, self.numbers

    @property
    def token_width(self) -> int:
        """Channels of the captions' tokens; 0 if there are no tokens."""
        tokens = self.groups[0].tokens
        return 0 if tokens is None else tokens.shape[2]

    @property
    def channels(self) -> int:
        """Channels of every picture: its colours, and alpha if there is any."""
        return self.groups[0].images.shape[1]

    @property
    def _most(self) -> Group:
        """The group with the most pictures."""
        return max(self.groups, key=lambda group: len(group.labels))

    @property
    def size(self) -> Size:
        """Height and width of the most frequent size."""
        return self._most.images.shape[2], self._most.images.shape[3]

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents of the most frequent size; zeros if there are no latents."""
        latents = self._most.latents
        return (0, 0, 0) if latents is None else (latents.shape[1], latents.shape[2], latents.shape[3])

    @property
    def facts(self) -> dict[str, int]:
        """What a network's config takes from the data: the arguments of its `for_data`."""
        counted = {"classes": self.labels, "attributes": self.attributes, "numbers": self.numbers, "words": self.words}
        widths = {"channels": self.channels, "latents": self.latent_shape[0], "token_width": self.token_width}
        return widths | {name: len(names) for name, names in counted.items()}

    @property
    def label_counts(self) -> tuple[int, ...]:
        """Number of pictures of each class."""
        return tuple(sum(int((group.labels == i).sum()) for group in self.groups) for i in range(len(self.labels)))

    @property
    def attribute_counts(self) -> tuple[tuple[int, int], ...]:
        """Number of pictures that have each attribute, and of those that lack it."""
        known = [group.attributes for group in self.groups if group.attributes is not None]
        if not known:
            return ()
        whole = torch.cat(known)
        return tuple(zip((whole > 0).sum(0).tolist(), (whole < 0).sum(0).tolist(), strict=True))

    @property
    def word_counts(self) -> tuple[int, ...]:
        """Number of pictures that have each word."""
        found = [group.words[group.words >= 0] for group in self.groups if group.words is not None]
        return tuple(torch.cat(found).bincount(minlength=len(self.words)).tolist()) if found else ()

    @cached_property  # every checkpoint and preview has a card that holds it
    def words_together(self) -> tuple[tuple[int, ...], ...]:
        """For each word, the later words that pictures have it with. Empty if they are more pairs than `MOST_PAIRS`."""
        keys, many = torch.empty(0, dtype=torch.long), len(self.words)
        for words in (group.words for group in self.groups if group.words is not None):
            for one, other in combinations(words.long().T, 2):
                both = (one >= 0) & (other >= 0)
                found = torch.minimum(one, other)[both] * many + torch.maximum(one, other)[both]
                keys = torch.cat([keys, found]).unique()
                if len(keys) > MOST_PAIRS:
                    return ()
        first, later = (keys // max(many, 1)).tolist(), (keys % max(many, 1)).tolist()
        rows = [list[int]() for _ in range(many)]
        for one, other in zip(first, later, strict=True):
            rows[one].append(other)
        return tuple(map(tuple, rows))

    def __len__(self) -> int:
        """Number of pictures."""
        return sum(len(group.labels) for group in self.groups)

    def __str__(self) -> str:
        """Summary in one line: name, number, sizes and labels of the pictures."""
        sizes = ", ".join(f"{len(g.labels)} of {g.images.shape[2]}x{g.images.shape[3]}" for g in self.groups[:4])
        more = f" and {len(self.groups) - 4} more sizes" if len(self.groups) > 4 else ""
        kind = {1: "grey", 2: "grey + alpha", 3: "RGB", 4: "RGBA"}[self.channels]
        counted = {
            "classes": self.labels, "attributes": self.attributes, "numbers": self.numbers, "words": self.words,
        }  # fmt: skip
        known = ", ".join(f"{len(names)} {what}" for what, names in counted.items() if names or what == "classes")
        lost = f", {len(self.skipped)} left out" if self.skipped else ""
        return f"{self.name}: {len(self)} {kind} images ({sizes}{more}), {known}{lost}"


def with_tokens(pictures: Pictures, encode: Callable[[str], Float[Tensor, "t d"]]) -> Pictures:
    """The same pictures with their captions encoded as tokens, which a model can attend to.

    Args:
        pictures: A data set with captions.
        encode: Text encoder, a function from a caption to its tokens. The trained model needs the same encoder.

    Raises:
        InputError: No picture has a caption.
    """
    texts = {text for group in pictures.groups for text in group.texts if text}
    if not texts:
        raise InputError(f"{pictures.name} has no texts; add a column `text` to its metadata file.")
    encoded = {text: encode(text).detach().cpu() for text in sorted(texts)}
    width = next(iter(encoded.values())).shape[1]
    groups = []
    for group in pictures.groups:
        long = max((len(encoded[text]) for text in group.texts if text), default=1)
        tokens = torch.full((len(group.labels), long, width), torch.nan)
        for row, text in zip(tokens, group.texts, strict=True):
            if text:
                row[: len(encoded[text])] = encoded[text]
        groups.append(replace(group, tokens=tokens))
    return replace(pictures, groups=tuple(groups))


def with_finer(pictures: Pictures, finer: Pictures) -> Pictures:
    """The same pictures beside finer ones of another source, from which a model learns what lies between the pixels.

    Classes are the same where their names are; of every other label nothing is known in the finer pictures.

    Args:
        pictures: A data set, which decides what a model composes.
        finer: Pictures of more pixels that show alike things, framed alike: one pixel of `pictures` is the mean of
            several of theirs.

    Raises:
        InputError: The two differ in colour or transparency, or the finer pictures have no more pixels.
    """
    if (finer.channels, finer.alpha) != (pictures.channels, pictures.alpha):
        raise InputError(
            f"{finer.name} has {finer.channels} channels over {finer.alpha} and {pictures.name} has "
            f"{pictures.channels} over {pictures.alpha}; give finer pictures of the same kind."
        )
    if max(finer.size) <= max(pictures.size):
        raise InputError(
            f"the finer pictures of {finer.name} have {max(finer.size)} pixels along their long side and those of "
            f"{pictures.name} have {max(pictures.size)}; give pictures with more."
        )
    known = {name: index for index, name in enumerate(pictures.labels)}
    index = torch.tensor([*(known.get(name, NULL) for name in finer.labels), NULL])  # the last is that of no class
    groups = tuple(Group(group.images, index[group.labels.long()], truth=group.truth) for group in finer.groups)
    return replace(
        pictures, finer=replace(finer, groups=groups, labels=pictures.labels, attributes=(), numbers=(), words=())
    )


def unlabelled(pictures: Pictures) -> Pictures:
    """The same pictures without their labels, attributes, numbers and captions."""
    groups = tuple(
        Group(group.images, torch.full_like(group.labels, NULL), truth=group.truth, latents=group.latents)
        for group in pictures.groups
    )
    return replace(pictures, groups=groups, labels=(), attributes=(), numbers=(), number_ranges=(), words=())


def rescaled(pictures: Pictures, ranges: Sequence[tuple[float, float]]) -> Pictures:
    """The same pictures with their numbers scaled by the ranges of another data set, whose model is to be used.

    Args:
        pictures: A data set with the same numbers as the other one.
        ranges: Smallest and largest value of each number in the other data set.
    """

    def again(numbers: Float[Tensor, "n k"] | None) -> Float[Tensor, "n k"] | None:
        if numbers is None:
            return None
        columns = zip(numbers.T, pictures.number_ranges, ranges, strict=True)
        return torch.stack([scaled(low + (own + 1) / 2 * (high - low), *to) for own, (low, high), to in columns], 1)

    groups = tuple(replace(group, numbers=again(group.numbers)) for group in pictures.groups)
    return replace(pictures, groups=groups, number_ranges=tuple(ranges))


def batch_at(pictures: Pictures, number: int, size: int, seed: int) -> tuple[UInt8[Tensor, "b c h w"], Condition]:
    """Pictures and labels of batch `number` of the stream of `chosen_at`."""
    group, chosen = chosen_at(pictures, number, size, seed)
    return group.images[chosen], group.condition(chosen)


def chosen_at(pictures: Pictures, number: int, size: int, seed: int) -> tuple[Group, Int[Tensor, " b"]]:
    """Group of batch `number` and the indices of its pictures, in an endless shuffled stream that the seed determines.

    An epoch visits every picture of each group that fills a batch; a group's last batch is completed with its first
    pictures. A smaller group is visited in only some epochs, so that its pictures are as frequent as all others.

    Args:
        pictures: The data set.
        number: Number of the batch, from 0.
        size: Pictures per batch.
        seed: Seed of the order.
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
