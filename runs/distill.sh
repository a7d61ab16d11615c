#!/usr/bin/env bash
# The bundled model that draws in two calls, from the bundled teacher: its trajectories, its training, its table. Stopped, it goes on
# where it was.
#   runs/distill.sh DATA_FOLDER [TEACHER] [MINUTES] [PAIRS]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} teacher=${2:-mnist} minutes=${3:-30} pairs=${4:-3000} bin=.venv/bin out=out/distilled
resume=$(compgen -G "$out/checkpoints/[0-9]*" > /dev/null && echo "--resume latest" || true)
$bin/s2id distill "$teacher" --data "$data" --out $out --minutes "$minutes" --pairs "$pairs" \
  --guidance 1.5 --set guidance-interval=0.1,0.6 --autoguidance 2 $resume
for weights in "$teacher" $out/model; do  # the teacher's 51 calls, guided as it taught: 49 steps, the finer state's beginning, the reading
  steps=$([ "$weights" = "$teacher" ] && echo "--steps 49 --autoguidance 2" || true)
  $bin/s2id evaluate "$weights" --data "$data" --count 2000 --size 28x28 --size 112x112 $steps --out "$out/judged-$(basename "$weights")"
done
$bin/python runs/ship.py $out/model src/s2id/weights/mnist-fast
cat > src/s2id/weights/mnist-fast/README.md <<'CARD'
---
library_name: s2id
tags: [diffusion, arbitrary-resolution]
---
# S2ID, MNIST, in two calls

Draws what `mnist` draws, in two calls of the network instead of fourteen with a guide. Distilled from it with `runs/distill.sh`: nothing but
its trajectories was seen, and the labels of MNIST's training set. Guidance 1.5 at times from 0.1 to 0.6 is built in, and the
teacher's autoguidance. Weights are stored in half precision.

Use: `s2id.sample(s2id.load("mnist-fast"), label=7, seed=0).image(size=(1024, 1024))`.

Limits: its teacher's, and less variety; it draws and does nothing else (no other number of steps, no guidance, no restoring).
CARD
