#!/usr/bin/env bash
# Every table of docs/results on the shipped model: at guidance 1 and 1.5, with and without the autoguidance that it learned, what fewer steps
# do, and its loss against t. About four hours of one core.
#   runs/results.sh DATA_FOLDER [WEIGHTS]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} weights=${2:-mnist} bin=.venv/bin
evaluate() { $bin/s2id evaluate "$weights" --data "$data" "$@"; }
evaluate --guidance 1.5 --count 2000 --size 28x28 --out docs/results/mnist-guidance1.5
evaluate --guidance 1 --count 1000 --out docs/results/mnist-guidance1
evaluate --guidance 1 --count 2000 --size 28x28 --out docs/results/mnist-2000
evaluate --guidance 1 --autoguidance 1 --count 2000 --size 28x28 --out docs/results/mnist-plain
for steps in 6 8 12; do evaluate --guidance 1 --count 500 --size 28x28 --steps $steps --out docs/results/steps-$steps; done
$bin/s2id t-scrape "$weights" --data "$data" --points 100 --out docs/results/t-scrape
$bin/python runs/limit.py
