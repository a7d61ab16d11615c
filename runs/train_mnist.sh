#!/usr/bin/env bash
# The shipped MNIST model, from scratch: 55 minutes on two CPU cores, then its numbers and pictures.
#   runs/train_mnist.sh DATA_FOLDER [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} minutes=${2:-55} bin=.venv/bin
$bin/s2id train mnist --data "$data" --minutes "$minutes" --out out/mnist
$bin/python runs/ship.py out/mnist/model src/s2id/weights/mnist
[ -f out/classifier.safetensors ] || $bin/python runs/classifier.py --data "$data"
$bin/python runs/score.py mnist --data "$data" --consistency 100
$bin/python runs/pictures.py
