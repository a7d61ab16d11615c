#!/usr/bin/env bash
# Trains the bundled MNIST model from scratch, then writes the tables and the pictures. The first two commands are for a GPU (ten minutes); the
# others take two cores without bf16 about eight hours. runs/queue.sh made the bundled weights with the same commands.
#   runs/train_mnist.sh DATA_FOLDER       (the folder holds MNIST's files, and the fonts of `--set finer=ink` in its subfolder fonts)
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} bin=.venv/bin
common=(--data "$data" --precision bf16 --compile-blocks --batch 512 --densities 20 16 --density-weights 0.98 0.02 --detail-time 0.3)
$bin/python runs/gpu_train.py mnist "${common[@]}" --lr 5e-3 --minutes 8 --detail-density 24 --detail-share 0.2 --out out/mnist-gpu
# the guide: fewer blocks, a hundredth of the images
$bin/s2id train mnist --data "$data" --images 100000 --out out/mnist-guide --set encoder-blocks=3 --set decoder-blocks=3
# states of 28 samples at the end, then ink: finer edges, learned from outlines of glyphs
$bin/s2id train mnist --data "$data" --init out/mnist-gpu/model --images 194000 --lr 1e-3 --set warmup=0.005 \
  --set detail-density=28 --set detail-share=0.3 --out out/mnist-28
$bin/s2id train mnist --data "$data" --init out/mnist-28/model --images 62000 --lr 1e-3 --set warmup=0.005 \
  --set detail-density=28 --set detail-share=0.4 --set finer="ink:$data/fonts" --set finer-share=0.3 --out out/mnist-ink
# one network that does what guidance and the guide need four calls for
$bin/s2id guide out/mnist-ink/model out/mnist-guide/model --autoguidance 1.5 --out out/mnist-guided
$bin/s2id distill out/mnist-guided --data "$data" --guidance-only --autoguidance 1.5 --images 50000 --lr 5e-4 --set ema=0.999 --out out/mnist
$bin/python runs/ship.py out/mnist/model src/s2id/sampling/weights/mnist
runs/results.sh "$data"
$bin/python runs/pictures.py
