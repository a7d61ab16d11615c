"""Guidance that stays in range: ways to keep guided states in it, and what each attribute does.

python runs/in_range.py MODEL --data FOLDER [--guidance 1 1.5 3 5] [--seeds 4] [--out table.json]

Each of the ways draws the same seeds with all attributes at once, in every combination. A picture is out of range if
its mean brightness lies outside that of the data. `ink` is the mean distance of a picture's pixels from the colour of
its border, in grey levels: it falls to 0 where the ground takes the whole canvas. `least` is the smallest of a picture.
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import s2id
from s2id.condition import cat
from s2id.diffusion.guidance import Guided, clipped
from s2id.evaluation.report import markdown
from s2id.media.images import to_float
from s2id.sampling import sample as sampling
from s2id.sampling.conditions import ask
from s2id.sampling.model import S2ID
from s2id.sampling.training_data import load_data_of


def thresholded(guided: Tensor, conditional: Tensor) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, arXiv 2205.11487, section 2.3) at the 99.5 % quantile."""
    most = guided.abs().flatten(1).quantile(0.995, dim=1).clamp(min=1)[:, None, None, None]
    return guided.clamp(-most, most) / most


def rescaled(guided: Tensor, conditional: Tensor, share: float = 0.7) -> Tensor:
    """Rescaled guidance (Lin et al. 2023, arXiv 2305.08891, eq. 15-16)."""
    std, wanted = (x.std((1, 2, 3), keepdim=True) for x in (guided, conditional))
    return guided * (1 - share + share * wanted / std)


def projected(guided: Tensor, conditional: Tensor) -> Tensor:
    """Guidance without its part along the conditional state (Sadat et al. 2024, arXiv 2410.02416, eq. 8-9)."""
    pushed, along = guided - conditional, conditional.flatten(1)
    share = (pushed.flatten(1) * along).sum(1) / along.square().sum(1).clamp(min=1e-6)
    return conditional + pushed - share[:, None, None, None] * conditional


def both(first: Callable[..., Tensor], then: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Two ways, one after the other."""
    return lambda guided, conditional: then(first(guided, conditional), conditional)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "none": None,
    "clipped": clipped,
    "thresholded": thresholded,
    "rescaled": rescaled,
    "rescaled, clipped": both(rescaled, clipped),
    "projected": projected,
    "projected, clipped": both(projected, clipped),
}


def brightness(pictures: Tensor) -> Tensor:
    """Mean of each picture in grey levels."""
    return (pictures.flatten(1).mean(1) + 1) * 127.5


def ink(pictures: Tensor) -> Tensor:
    """Mean distance, in grey levels, of each picture's pixels from the median of its border."""
    border = torch.cat([pictures[..., 0, :], pictures[..., -1, :], pictures[..., 0], pictures[..., -1]], dim=-1)
    return (pictures - border.median(-1).values[..., None, None]).abs().flatten(1).mean(1) * 127.5


def effects(model: S2ID, seeds: list[int], guidance: float) -> dict[str, float]:
    """Root mean square change in grey levels of the pictures of the same seeds, where each attribute is flipped."""
    size = model.card.size or (28, 28)
    found = {}
    for name in model.card.attributes:
        has, lacks = (
            s2id.sample(model, ask(model, attributes={name: value}), seeds, guidance=guidance).render(size)
            for value in (True, False)
        )
        found[name] = 127.5 * (has - lacks).square().mean().sqrt().item()
    return found


def _guided(within: Callable[[Tensor, Tensor], Tensor] | None, denoiser: Any, *settings: Any) -> Guided:  # noqa: ANN401
    """`Guided` with another way to keep in range than its caller's, which is the last but one of the settings."""
    guidance, pushes, interval, _, learned = settings
    return Guided(denoiser, guidance, pushes, interval, within, learned)


def main() -> None:
    """Measure every way at every guidance, and each attribute's effect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--guidance", type=float, nargs="+", default=[1, 1.5, 2, 3, 5])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    model = s2id.load(asked.model)
    data = load_data_of(model, asked.data)
    size, names = model.card.size or data.size, data.attributes
    bright = torch.cat([brightness(to_float(group.images)) for group in data.groups])
    combined = [dict(zip(names, values, strict=True)) for values in product((True, False), repeat=len(names))]
    wishes = cat([ask(model, attributes=one) for one in combined for _ in range(asked.seeds)])
    seeds = list(range(asked.seeds)) * len(combined)
    rows = []
    for guidance, (name, within) in product(asked.guidance, WAYS.items()):
        with patch.object(sampling, "Guided", partial(_guided, within)):
            pictures = s2id.sample(model, wishes, seeds, guidance=guidance).render(size)
        mean = brightness(pictures)
        out = int(((mean < bright.min()) | (mean > bright.max())).sum())
        drawn = ink(pictures)
        rows.append(
            (
                guidance,
                name,
                f"{out} of {len(mean)}",
                *(float(x) for x in (mean.min(), mean.max(), drawn.mean(), drawn.min())),
            )
        )
        print(rows[-1], flush=True)
    data_ink = torch.cat([ink(to_float(group.images)) for group in data.groups])
    print(f"data: mean brightness {bright.min():.1f} to {bright.max():.1f}")
    print(f"data: ink {data_ink.mean():.1f}, least {data_ink.min():.1f}")
    print(markdown(("guidance", "way", "out of range", "darkest", "brightest", "ink", "least"), rows))
    moved = effects(model, list(range(8)), 1.5)
    print(markdown(("attribute", "effect, grey levels"), moved.items()))
    if asked.out:
        asked.out.write_text(json.dumps({"rows": rows, "effects": moved}, indent=1) + "\n")


if __name__ == "__main__":
    main()
