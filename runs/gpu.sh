#!/usr/bin/env bash
# For a machine with one GPU: the MNIST model in ten minutes, its score, and timings of composing and rendering.
#   runs/gpu.sh DATA_FOLDER        (needs torch with CUDA and this package installed)
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} python=${PYTHON:-python3}
$python -m s2id train mnist --data "$data" --minutes 10 --batch 512 --lr 2e-3 --precision bf16 --queries 4 --out out/gpu
$python benchmarks/render.py out/gpu/model --device cuda --repeats 20
$python -m s2id evaluate out/gpu/model --data "$data" --count 10000 --device cuda --out out/gpu/evaluate
