"""Data sets as groups of pictures of one size, with what is known of them."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from torch import Tensor

from s2id.condition import Condition, scaled
from s2id.errors import InputError
from s2id.settings import Size

Split = Literal["train", "test"]


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
