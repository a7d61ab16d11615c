"""Small coloured pictures whose captions say what they show: one ink in one half of the frame."""

import torch

from s2id.data.pictures import Group, Pictures
from s2id.shapes import NULL

INKS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}
HALF, OTHER, ALL = slice(0, 4), slice(4, 8), slice(0, 8)
PLACES = {"above": (HALF, ALL), "left": (ALL, HALF), "right": (ALL, OTHER), "below": (OTHER, ALL)}
KINDS = [(ink, place) for ink in INKS for place in PLACES]


def picture(ink, place):
    made = torch.zeros(3, 8, 8, dtype=torch.uint8)
    made[(slice(None), *PLACES[place])] = torch.tensor(INKS[ink], dtype=torch.uint8)[:, None, None]
    return made


def toys(kinds):
    images = torch.stack([picture(*kind) for kind in kinds])
    texts = tuple(f"{place}, {ink}" for ink, place in kinds)
    return Pictures("toys", (Group(images, torch.full((len(kinds),), NULL), texts=texts),), ())
