"""What a data set holds, in numbers, for people who check it before a long run."""

from collections import Counter
from typing import Any

import torch

from s2id.data.pictures import Pictures
from s2id.shapes import NULL


def summary(pictures: Pictures) -> dict[str, Any]:
    """Number of pictures in all, of each size, of each class and with each attribute, as values for JSON.

    >>> import s2id
    >>> summary(s2id.pictures(torch.zeros(3, 1, 8, 9), labels=["cat", "dog", "cat"]))["classes"]
    {'cat': 2, 'dog': 1}
    """
    sizes: Counter[str] = Counter()
    for group in pictures.groups:
        sizes[f"{group.images.shape[2]}x{group.images.shape[3]}"] += len(group.labels)
    labels = torch.cat([group.labels for group in pictures.groups])
    numbers = zip(pictures.numbers, map(list, pictures.number_ranges), strict=True)
    return {
        "name": pictures.name,
        "images": len(pictures),
        "sizes": dict(sizes),
        "channels": pictures.channels,
        "alpha": pictures.alpha,
        "classes": dict(zip(pictures.labels, pictures.label_counts, strict=True)),
        "without a class": int((labels == NULL).sum()) if pictures.labels else 0,
        "attributes": {
            name: has for name, (has, _) in zip(pictures.attributes, pictures.attribute_counts, strict=True)
        },
        "numbers": dict(numbers),
        "captions": sum(bool(text) for group in pictures.groups for text in group.texts),
        "words": len(pictures.words),
        "left out": list(pictures.skipped),
    }
