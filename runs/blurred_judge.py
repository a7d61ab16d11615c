"""How much of what a judge of attributes names is left in pictures of fewer samples: a bound for states of as many.

    python runs/blurred_judge.py out/faces64-judge.safetensors --data data --samples 20 24 32 40 48

Test pictures are shrunk by area means to so many samples along the long side, and enlarged again by bicubic
interpolation. A function that is read from such a state knows more than that, but not much.
"""

import argparse
from pathlib import Path

from torch.nn import functional as F

from s2id.data.registry import load_pictures
from s2id.evaluation.examiner import Examiner, RealPictures
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.likeness import balanced_right
from s2id.evaluation.report import markdown
from s2id.media.images import resize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("judge", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder of the judge's data set")
    parser.add_argument("--samples", type=int, nargs="+", default=[20, 24, 32, 40, 48])
    args = parser.parse_args()
    judge = load_judge(args.judge)
    examiner = Examiner(judge, None, judge.size)
    pictures = load_pictures(judge.data, args.data, split="test", long_side=max(judge.size))
    real = RealPictures.of(pictures, examiner)
    table: list[list[object]] = [["all", f"{balanced_right(real.findings, real.known, real):.3f}"]]
    for samples in args.samples:
        height, width = (max(1, round(samples * side / max(judge.size))) for side in judge.size)
        blurred = F.interpolate(resize(real.images, (height, width)), judge.size, mode="bicubic").clamp(-1, 1)
        table.append([f"{height}x{width}", f"{balanced_right(examiner(blurred), real.known, real):.3f}"])
    print(markdown(["samples", "right attributes"], table))


if __name__ == "__main__":
    main()
