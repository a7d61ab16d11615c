"""How well small pictures are means of a large one, by how densely values of the function lie in their pixels.

    python runs/means.py mnist

Ten digits at guidance 1; the median PSNR, in dB, to means of 1792x1792 pictures, with half as many values along a side
of each pixel as `Features.supersample` takes, and with as many.
"""

import math
import sys

import torch

import s2id
from s2id.coords import view
from s2id.evaluation.image_metrics import psnr
from s2id.evaluation.report import markdown
from s2id.media.images import resize

LARGE, SIZES = 1792, (28, 56, 112, 224)


@torch.inference_mode()
def main() -> None:
    field = s2id.sample(s2id.load(sys.argv[1]), list(range(10)), seed=range(10), guidance=1.0)
    large, rows = field.render((LARGE, LARGE)), []
    for side in SIZES:
        grid, truth = view((side, side), field.features.frame), resize(large, (side, side))
        own = field.features.supersample(grid.cell)
        row: list[object] = [side]
        for values in (math.ceil(own / 2), own):
            drawn = field.head(field.features, grid, supersample=values, bound=1.0)
            row += [values, round(psnr(drawn, truth).median().item(), 1)]
        rows.append(row)
    print(markdown(["side", "values, half", "PSNR", "values", "PSNR"], rows))


if __name__ == "__main__":
    main()
