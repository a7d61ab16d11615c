"""Classifiers that judge samples: the class of a picture, and features to compare sets of pictures in.

A judge is trained apart from every generator (runs/classifier.py), sees pictures at its data's own size only, and is
named by its checksum in every table.
"""

import json
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.checkpoint import checksum, fill, read_tensors, write_tensors
from s2id.config import InputError, Size
from s2id.images import resize
from s2id.shapes import Images

JUDGES = Path(__file__).parent / "judges"
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
    ) -> None:
        """Set up an untrained judge.

        Args:
            data: Name of the data set.
            size: Height and width at which pictures are judged.
            channels: Colour channels.
            classes: Labels.
            widths: Channels of each convolution; the last is the number of features.
            accuracy: Share of the test set it names right.
        """
        super().__init__()
        self.data, self.size, self.channels, self.classes = data, size, channels, classes
        self.widths, self.accuracy = widths, accuracy
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=stride, padding=1, bias=False)
            for a, b, stride in zip((channels, *widths[:-1]), widths, _STRIDES, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths)
        self.out = nn.Linear(widths[-1], classes)

    def forward(self, x: Images) -> Float[Tensor, "b classes"]:
        """Logits of pictures at the judge's own size."""
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
        return self.out(features).argmax(1)

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
            "widths": self.widths, "accuracy": self.accuracy,
        }  # fmt: skip
        write_tensors(path, self.state_dict(), {"format": _FORMAT, "judge": json.dumps(facts)})


def load(source: str | Path) -> Judge:
    """A judge, ready to judge.

    Args:
        source: Name of a data set whose judge is in the package, or a file that `Judge.save` wrote.

    Raises:
        InputError: There is no such judge, or its file is damaged.
    """
    known = sorted(path.stem for path in JUDGES.glob("*.safetensors"))
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
    )
    fill(judge, tensors, path)
    return judge.eval().requires_grad_(False)
