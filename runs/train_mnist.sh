#!/usr/bin/env bash
# The shipped MNIST model, from scratch, on two CPU cores; then its table and its pictures.
#   runs/train_mnist.sh DATA_FOLDER [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} minutes=${2:-75} bin=.venv/bin
$bin/s2id train mnist --data "$data" --minutes "$minutes" --out out/mnist
$bin/python runs/ship.py out/mnist/model src/s2id/weights/mnist
runs/results.sh "$data"
$bin/python runs/pictures.py
