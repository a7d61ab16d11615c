#!/usr/bin/env bash
# Distils the bundled model that draws in two network calls from the bundled teacher: trajectories, training, table. If it was stopped,
# the next start goes on where it was.
#   runs/distill.sh DATA_FOLDER [TEACHER] [IMAGES] [PAIRS]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} teacher=${2:-mnist} images=${3:-40000} pairs=${4:-3000} bin=.venv/bin out=out/distilled
resume=$(compgen -G "$out/checkpoints/[0-9]*" > /dev/null && echo "--resume latest" || true)
$bin/s2id distill "$teacher" --data "$data" --out $out --images "$images" --pairs "$pairs" --steps 24 \
  --guidance 1.5 --set guidance-interval=0.1,0.6 $resume
for weights in "$teacher" $out/model; do  # the teacher makes 51 calls: 49 steps, one to change to the finer state, one to read the field out
  steps=$([ "$weights" = "$teacher" ] && echo "--steps 49" || true)
  $bin/s2id evaluate "$weights" --data "$data" --count 2000 --size 28x28 --size 112x112 $steps --out "$out/judged-$(basename "$weights")"
done
$bin/python runs/ship.py $out/model src/s2id/sampling/weights/mnist-fast
cat > src/s2id/sampling/weights/mnist-fast/README.md <<'CARD'
---
library_name: s2id
tags: [diffusion, arbitrary-resolution]
---
# S2ID, MNIST, in two network calls

This model draws the digits of `mnist` with two network calls; `mnist` needs fourteen. It was distilled from `mnist` with `runs/distill.sh`,
from 3,000 of its sampling trajectories (40,000 states) and the labels of MNIST's training set; it has seen no picture of MNIST. Guidance 1.5
at times from 0.1 to 0.6 and the teacher's autoguidance are built in. Weights are stored in half precision.

Use: `s2id.sample(s2id.load("mnist-fast"), label=7, seed=0).image(size=(1024, 1024))`.

Licence: MIT. Trained on what `mnist` draws, and on the labels of MNIST.

Limits: those of `mnist`, and its samples vary less. The model only draws: it takes no other number of steps and no guidance, and it
cannot restore pictures.
CARD
