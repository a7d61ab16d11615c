"""The PSNR that a perfect function reaches at 37x61 against 28x28: both are exact area means of one fine picture.

    python runs/limit.py [SEEDS]

37 pixels do not divide into 28, so averaging them assumes that every pixel is flat. This costs more than rendering.
"""

import sys

import torch

import s2id
from s2id.evaluation.image_metrics import psnr
from s2id.media.images import resize

count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
model = s2id.load("mnist")
values = []
for first in range(0, count, 50):
    seeds = range(first, min(first + 50, count))
    for field in s2id.sample(model, [seed % 10 for seed in seeds], seeds, guidance=1.0):
        fine = field.render((28 * 37, 28 * 37)).clamp(-1, 1)
        values.append(psnr(resize(resize(fine, (37, 37)), (28, 28)), resize(fine, (28, 28))))
print(f"{count} seeds: median {torch.cat(values).median():.2f} dB, worst {torch.cat(values).min():.2f} dB")
