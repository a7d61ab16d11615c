"""Make a wider and deeper network for graphics that draws exactly what a trained one draws, to train on from.

    python runs/widen.py MODEL OUT --width 64 --blocks 8

New channels see what there is and are not yet seen: the weights from them to the old ones are 0, as are those of the
new blocks (Chen et al. 2016, arXiv 1511.05641, makes copies of channels instead).
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from s2id.network.enlarger import ConvolutionBlock
from s2id.network.settings import EnlargerConfig
from s2id.sampling.model import S2ID, load


def widened(old: Tensor, new: Tensor) -> Tensor:
    """Fresh weights with trained ones in the first places; what old outputs get from new inputs is 0."""
    new = new.clone()
    new[: len(old)] = 0
    new[tuple(slice(side) for side in old.shape)] = old
    return new


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=8)
    args = parser.parse_args()
    torch.manual_seed(0)
    small = load(args.model)
    assert isinstance(small.config, EnlargerConfig), f"{args.model} is not a model for graphics"
    large = S2ID(replace(small.config, width=args.width, blocks=args.blocks), small.card)
    with torch.no_grad():
        for block in large.network.encoder[small.config.blocks :]:
            assert isinstance(block, ConvolutionBlock)
            block.second.weight.zero_()
    fresh = large.network.state_dict()
    large.network.load_state_dict(fresh | {n: widened(w, fresh[n]) for n, w in small.network.state_dict().items()})
    picture, noise = torch.rand(1, 4, 12, 12) * 2 - 1, torch.zeros(1)
    with torch.inference_mode():
        before, now = (one.network.decode(one.network.encode(picture, noise)).values for one in (small, large))
    assert torch.allclose(before, now, atol=1e-4), "the larger network draws something else"
    large.save_pretrained(args.out)


if __name__ == "__main__":
    main()
