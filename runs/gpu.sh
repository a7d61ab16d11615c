#!/usr/bin/env bash
# For a machine with one GPU: the model that `mnist` begins from, in ten minutes, its score, and timings of composing and rendering; then the published
# system as it was published (20 epochs, hours), and its table beside ours. The first command has been run (runs/LOG.md, 2026-11-28), the
# others have not. The last trains the generator of emoji from the packages of six sets in DATA_FOLDER/icons (docs/vectors.md).
#   runs/gpu.sh DATA_FOLDER        (needs torch with CUDA and this package installed)
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} python=${PYTHON:-python3}
$python runs/gpu_train.py mnist --data "$data" --precision bf16 --compile-blocks --batch 512 --lr 5e-3 --minutes 8.0 --densities 20 16 \
  --density-weights 0.98 0.02 --detail-density 24 --detail-time 0.3 --detail-share 0.2 --out out/gpu
$python benchmarks/render.py out/gpu/model --device cuda --repeats 20
$python -m s2id evaluate out/gpu/model --data "$data" --count 10000 --device cuda --out out/gpu/evaluate
$python runs/reference.py --data "$data" --full --count 1000 --steps 100 --sampler ddim --device cuda --out out/gpu/reference
$python runs/gpu_train.py emoji --data "$data/icons" --workers 16 --precision bf16 --compile-blocks --batch 512 --lr 5e-3 --minutes 8.0 \
  --out out/gpu-emoji
