#!/usr/bin/env bash
# For a machine with one GPU: the MNIST model in ten minutes, its score, and timings of composing and rendering; then the
# published system as it was published (20 epochs, hours), and its table beside ours. Not yet run.
#   runs/gpu.sh DATA_FOLDER        (needs torch with CUDA and this package installed)
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} python=${PYTHON:-python3}
$python -m s2id train mnist --data "$data" --minutes 10 --batch 512 --lr 2e-3 --precision bf16 --set queries=4 --out out/gpu
$python benchmarks/render.py out/gpu/model --device cuda --repeats 20
$python -m s2id evaluate out/gpu/model --data "$data" --count 10000 --device cuda --out out/gpu/evaluate
$python runs/reference.py --data "$data" --full --count 1000 --steps 100 --sampler ddim --device cuda --out out/gpu/reference
