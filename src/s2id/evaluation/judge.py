"""Classifiers that judge samples: class and attributes of a picture, and features to compare sets of pictures in.

A judge is trained apart from every generator (runs/classifier.py), sees pictures at its data's own size only, and is
named by its checksum in every table.
"""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.errors import InputError
from s2id.files import checksum, fill, read_tensors, write_tensors
from s2id.images import resize, to_bytes
from s2id.settings import Size
from s2id.shapes import Images

JUDGES = Path(__file__).parent / "judges"

Extractor = Callable[[Images], Float[Tensor, "n d"]]
"""Pictures in [-1, 1], all of one size -> features to compare sets of them in."""

_FORMAT = "s2id-judge-1"

_STRIDES = (1, 2, 1, 2, 1)


class Judge(nn.Module):
    """A small convolutional classifier; the features are its last layer's means over the picture."""

    def __init__(
        self,
        data: str,
        size: Size,
        channels: int,
        classes: int,
        widths: tuple[int, ...] = (48, 48, 96, 96, 128),
        accuracy: float = 0.0,
        attributes: tuple[str, ...] = (),
    ) -> None:
        """Set up an untrained judge.

        Args:
            data: Name of the data set.
            size: Height and width at which pictures are judged.
            channels: Colour channels.
            classes: Labels; 0 for pictures that have attributes alone.
            widths: Channels of each convolution; the last is the number of features.
            accuracy: Share of the test set it names right; of attributes, where there are no classes.
            attributes: Names of those it tells to be there or not.
        """
        super().__init__()
        self.data, self.size, self.channels, self.classes = data, size, channels, classes
        self.widths, self.accuracy, self.attributes = widths, accuracy, attributes
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False)
            for a, b, stride in zip((channels, *widths[:-1]), widths, _STRIDES, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths)
        self.out = nn.Linear(widths[-1], classes + len(attributes))

    def forward(self, x: Images) -> Float[Tensor, "b k"]:
        """Logits of pictures at the judge's own size: of the classes, then of every attribute for itself."""
        return self.out(self.encode(x))

    def encode(self, x: Images) -> Float[Tensor, "b d"]:
        """Features of pictures at the judge's own size."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.silu(norm(conv(x)))
        return x.mean(dim=(2, 3))

    @torch.inference_mode()
    def features(self, images: Images) -> Float[Tensor, "b d"]:
        """Features of pictures of any size, area-averaged to the judge's own.

        Raises:
            InputError: The pictures have other channels.
        """
        if images.shape[1] != self.channels:
            raise InputError(
                f"the judge of {self.data!r} takes {self.channels} channels and the pictures have {images.shape[1]}; "
                "judge them with one of their own data."
            )
        return torch.cat([self.encode(resize(part, self.size)) for part in images.split(500)])

    @torch.inference_mode()
    def classify(self, features: Float[Tensor, "b d"]) -> Int[Tensor, " b"]:
        """The likeliest class of each picture, from its features."""
        return self.out(features)[:, : self.classes].argmax(1)

    @torch.inference_mode()
    def attributes_of(self, features: Float[Tensor, "b d"]) -> Int[Tensor, "b a"]:
        """Of each attribute of each picture, from its features: 1 present, -1 absent."""
        return torch.where(self.out(features)[:, self.classes :] > 0, 1, -1)

    @property
    def sha256(self) -> str:
        """Checksum of the weights."""
        return checksum(self.state_dict())

    def save(self, path: Path) -> None:
        """Write one .safetensors file that `load` reads.

        Raises:
            InputError: The file cannot be written.
        """
        facts = {
            "data": self.data, "size": self.size, "channels": self.channels, "classes": self.classes,
            "widths": self.widths, "accuracy": self.accuracy, "attributes": self.attributes,
        }  # fmt: skip
        write_tensors(path, self.state_dict(), {"format": _FORMAT, "judge": json.dumps(facts)})


def bundled() -> list[str]:
    """Names of the data sets whose judge is in the package."""
    return sorted(path.stem for path in JUDGES.glob("*.safetensors"))


def load(source: str | Path) -> Judge:
    """A judge, ready to judge.

    Args:
        source: Name of a data set whose judge is in the package, or a file that `Judge.save` wrote.

    Raises:
        InputError: There is no such judge, or its file is damaged.
    """
    known = bundled()
    path = JUDGES / f"{source}.safetensors" if source in known else Path(source)
    if not path.is_file():
        raise InputError(
            f"there is no judge {str(source)!r}: no such file, and the package has {', '.join(known) or 'none'}; "
            "train one as runs/classifier.py does and give its file with --judge."
        )
    tensors, facts = read_tensors(path, _FORMAT)
    said = json.loads(facts["judge"])
    judge = Judge(
        said["data"],
        (said["size"][0], said["size"][1]),
        said["channels"],
        said["classes"],
        tuple(said["widths"]),
        said["accuracy"],
        tuple(said.get("attributes", ())),
    )
    fill(judge, tensors, path)
    return judge.eval().requires_grad_(False)


def inception() -> Extractor:
    """The 2048 features of Inception v3 in which published Frechet distances of colour pictures are measured.

    By torchmetrics (extra `eval`) from torch-fidelity, which needs torchvision and fetches the weights; neither is a
    dependency of this package.

    Raises:
        InputError: One of them is not here.
    """
    try:
        from torchmetrics.image.fid import NoTrainInceptionV3

        network = NoTrainInceptionV3("inception-v3-compat", ["2048"])
    except (ImportError, OSError, RuntimeError) as error:  # a torchvision of another torch fails as it is imported
        raise InputError(
            "Inception features need torch-fidelity, the torchvision of this torch, and their weights from the network "
            f"({error}); install them, or compare in the judge's own features."
        ) from error

    @torch.inference_mode()
    def features(images: Images) -> Float[Tensor, "n d"]:
        pixels = to_bytes(images)
        return network(pixels.expand(-1, 3, -1, -1) if pixels.shape[1] == 1 else pixels).float()

    return features
