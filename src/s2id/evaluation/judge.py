"""Classifiers that judge samples: they name what a picture is and shows, and give features to compare sets in.

A judge is trained without any generator (runs/classifier.py), takes pictures at the size of its data only, and is
identified by the checksum of its weights in every table.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.checks import Share, Within
from s2id.errors import InputError
from s2id.files import checksum, filled, opened, write_tensors
from s2id.media.images import resize, to_bytes
from s2id.settings import MOST_NAMES, from_dict
from s2id.shapes import Images

JUDGES = Path(__file__).parent / "judges"

Extractor = Callable[[Images], Float[Tensor, "n d"]]
"""A function from pictures of one size in [-1, 1] to feature vectors, in which sets of pictures are compared."""

_FORMAT = "s2id-judge-1"

_SHARPNESS = 16.0  # logit of a concept whose embedding points where the picture's does

_Side = Annotated[int, Within(1, 2**12)]
_Width = Annotated[int, Within(1, 2**12)]
_Stride = Annotated[int, Within(1, 4)]


class Judge(nn.Module):
    """A small convolutional classifier whose features are the last convolution's outputs, averaged over the picture.

    Example:
        >>> judge = load("mnist")
        >>> judge.size, judge.classes, judge.features(torch.zeros(2, 1, 56, 56)).shape
        ((28, 28), 10, torch.Size([2, 128]))
    """

    def __init__(
        self,
        data: str,
        size: tuple[_Side, _Side],
        channels: Annotated[int, Within(1, 4)],
        classes: Annotated[int, Within(0, MOST_NAMES)],
        widths: tuple[_Width, ...] = (48, 48, 96, 96, 128),
        accuracy: Share = 0.0,
        attributes: tuple[str, ...] = (),
        strides: tuple[_Stride, ...] = (1, 2, 1, 2, 1),
        concepts: tuple[str, ...] = (),
    ) -> None:
        """Initialise an untrained judge.

        Args:
            data: Name of the data set that it is meant for.
            size: Height and width, in pixels, at which pictures are judged.
            channels: Number of colour channels.
            classes: Number of classes; 0 where the data have attributes only.
            widths: Output channels of each convolution; the last is the number of features.
            accuracy: Share of the test set's classes that it names right; of the attributes where there are no classes.
            attributes: Names of the attributes that it finds present or absent.
            strides: Pixels between the outputs of each convolution, in pixels of the one before.
            concepts: Captions of what it finds shown, in any class. Each has an embedding, and the one that points most
                nearly where a picture's does is named, so that a concept with few pictures is learned too.

        Raises:
            InputError: There are not as many strides as widths, or none.
        """
        if len(widths) != len(strides) or not widths:
            raise InputError(
                f"a judge has {len(widths)} widths and {len(strides)} strides; give one of each per convolution."
            )
        super().__init__()
        self.data, self.size, self.channels, self.classes = data, size, channels, classes
        self.widths, self.accuracy, self.attributes = widths, accuracy, attributes
        self.strides, self.concepts = strides, concepts
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False)
            for a, b, stride in zip((channels, *widths[:-1]), widths, strides, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths)
        self.out = nn.Linear(widths[-1], classes + len(attributes))
        if concepts:
            self.shown = nn.Linear(widths[-1], widths[-1])
            self.meant = nn.Parameter(0.1 * torch.randn(len(concepts), widths[-1]))  # short ones turn fast

    def forward(self, x: Images) -> Float[Tensor, "b k"]:
        """Logits for pictures of the judge's size: one per class, then one per attribute, then one per concept."""
        features = self.encode(x)
        return torch.cat([self.out(features), self.resemblance(features)], 1) if self.concepts else self.out(features)

    def encode(self, x: Images) -> Float[Tensor, "b d"]:
        """Features of pictures of the judge's size."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.silu(norm(conv(x)))
        return x.mean(dim=(2, 3))

    @torch.inference_mode()
    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Features of pictures of any size, which are resized to the judge's size by area means.

        Raises:
            InputError: The pictures have another number of channels than the judge takes.
        """
        if images.shape[1] != self.channels:
            raise InputError(
                f"the judge of {self.data!r} takes {self.channels} channels and the pictures have {images.shape[1]}; "
                "judge them with one of their own data."
            )
        return torch.cat([self.encode(resize(part, self.size)) for part in images.split(500)])

    @torch.inference_mode()
    def classify(self, features: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        """Most likely class of each picture, given its features."""
        return self.out(features)[:, : self.classes].argmax(1)

    @torch.inference_mode()
    def attributes_of(self, features: Float[Tensor, "b d"]) -> Int[Tensor, "b a"]:
        """Attributes of each picture, given its features: 1 is present, -1 absent."""
        return torch.where(self.out(features)[:, self.classes :] > 0, 1, -1)

    def resemblance(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b k"]:
        """Logit of each concept, given features: its embedding's cosine with the picture's, times a constant."""
        return _SHARPNESS * F.normalize(self.shown(features)) @ F.normalize(self.meant).T

    @torch.inference_mode()
    def concepts_of(self, features: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        """Index among `concepts` of what each picture most likely shows, given its features."""
        return self.resemblance(features).argmax(1)

    @property
    def sha256(self) -> str:
        """SHA-256 checksum of the weights."""
        return checksum(self.state_dict())

    def save(self, path: Path) -> None:
        """Write the judge to a .safetensors file that `load` reads.

        Raises:
            InputError: The file cannot be written.
        """
        facts = {
            "data": self.data, "size": self.size, "channels": self.channels, "classes": self.classes,
            "widths": self.widths, "accuracy": self.accuracy, "attributes": self.attributes, "strides": self.strides,
            "concepts": self.concepts,
        }  # fmt: skip
        write_tensors(path, self.state_dict(), {"format": _FORMAT, "judge": json.dumps(facts)})


def bundled() -> list[str]:
    """Names of the data sets that the package holds a judge for."""
    return sorted(path.stem for path in JUDGES.glob("*.safetensors"))


def load(source: str | Path) -> Judge:
    """A trained judge, in evaluation mode and without gradients.

    Args:
        source: Name of a data set that the package holds a judge for, or a file that `Judge.save` wrote.

    Raises:
        InputError: No such judge exists, or its file is damaged.
    """
    known = bundled()
    path = JUDGES / f"{source}.safetensors" if source in known else Path(source)
    if not path.is_file():
        raise InputError(
            f"there is no judge {str(source)!r}: no such file, and the package has {', '.join(known) or 'none'}; "
            "train one as runs/classifier.py does and give its file with --judge."
        )
    with opened(path, _FORMAT) as file:
        values = file.fact("judge")
        return filled(file, lambda: from_dict(Judge, values, f"the judge in {path}"))


def inception() -> Extractor:
    """Extractor of the 2048 Inception v3 features that published Frechet distances of colour pictures use.

    torchmetrics (extra `eval`) takes the network from torch-fidelity, which needs torchvision and downloads the
    weights; neither of the two is a dependency of this package.

    Raises:
        InputError: A package or the weights are missing.
    """
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        network = NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except (ImportError, OSError, RuntimeError) as error:  # importing a torchvision built for another torch fails
        raise InputError(
            "Inception features need torch-fidelity, the torchvision of this torch, and their weights from the network "
            f"({error}); install them, or compare in the judge's own features."
        ) from error

    @torch.inference_mode()
    def features(images: Images) -> Float[Tensor, "n d"]:
        pixels = to_bytes(images)
        return network(pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels).float()

    return features
