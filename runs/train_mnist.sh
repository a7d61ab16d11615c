#!/usr/bin/env bash
# Trains the bundled MNIST model and its guide from scratch on two CPU cores, then writes the tables and the pictures.
#   runs/train_mnist.sh DATA_FOLDER [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} minutes=${2:-75} bin=.venv/bin
# the bundled weights were trained with an earlier preset; today's is no better in the same time (runs/LOG.md, 2026-11-24)
$bin/s2id train mnist --data "$data" --minutes "$minutes" --out out/mnist --set optimiser=adamw --lr 1.2e-3 --set max-weight=10 \
  --set encoder-blocks=3 --set decoder-blocks=3 --set condition-film=false
# the guide: today's preset with the model's number of blocks, for about a tenth of the images
$bin/s2id train mnist --data "$data" --images 70000 --out out/mnist-guide --set encoder-blocks=3 --set decoder-blocks=3
# sampling ends on states of 24 samples a side, a density that 3 % of the training batches have
$bin/s2id guide out/mnist/model out/mnist-guide/model --autoguidance 2.5 --detail-density 24 --out out/mnist-guided
$bin/python runs/ship.py out/mnist-guided src/s2id/sampling/weights/mnist
runs/results.sh "$data"
$bin/python runs/pictures.py
