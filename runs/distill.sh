#!/usr/bin/env bash
# The bundled model that draws in two calls, from the bundled teacher: its trajectories, its training, its table. Stopped, it goes on
# where it was.
#   runs/distill.sh DATA_FOLDER [TEACHER] [MINUTES] [PAIRS]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} teacher=${2:-mnist} minutes=${3:-60} pairs=${4:-6000} bin=.venv/bin out=out/distilled
resume=$(compgen -G "$out/checkpoints/[0-9]*" > /dev/null && echo "--resume latest" || true)
$bin/s2id distill "$teacher" --data "$data" --out $out --minutes "$minutes" --pairs "$pairs" $resume
for weights in "$teacher" $out/model; do  # the teacher's 50 calls: 49 steps and the reading
  steps=$([ "$weights" = "$teacher" ] && echo "--steps 49" || true)
  $bin/s2id evaluate "$weights" --data "$data" --count 2000 --size 28x28 --size 112x112 $steps --out "$out/judged-$(basename "$weights")"
done
$bin/python runs/ship.py $out/model src/s2id/weights/mnist-fast
