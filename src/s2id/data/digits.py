"""The 8x8 digits that ship inside scikit-learn: a data set without files."""

import numpy as np
import torch

from s2id.data.pictures import Group, Pictures
from s2id.data.request import Request
from s2id.errors import InputError


def read(request: Request) -> Pictures:
    """The digits; every fifth picture belongs to the test split.

    Raises:
        InputError: scikit-learn is not installed, or a folder is named, which this data set would not read.
    """
    if request.folder is not None:
        raise InputError(f"the 8x8 digits are inside scikit-learn and {request.folder} would not be read; drop it.")
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError("the 8x8 digits ship inside scikit-learn; pip install 's2id[data]' brings it.") from error
    digits = load_digits()
    images = torch.from_numpy((digits.images * (255 / 16)).round().astype(np.uint8))[:, None]
    held_out = torch.arange(len(images)) % 5 == 0
    keep = held_out if request.split == "test" else ~held_out
    return Pictures("digits", (Group(images[keep], torch.from_numpy(digits.target)[keep]),), tuple("0123456789"))
