#!/usr/bin/env bash
# Every table of docs/results: the shipped model at guidance 1 and 1.5, and its loss against t. About 45 minutes on two cores.
#   runs/results.sh DATA_FOLDER [WEIGHTS]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} weights=${2:-mnist} bin=.venv/bin
for guidance in 1 1.5; do
  $bin/s2id evaluate "$weights" --data "$data" --guidance "$guidance" --out "docs/results/mnist-guidance$guidance"
done
$bin/s2id t-scrape "$weights" --data "$data" --out docs/results/t-scrape
$bin/python runs/limit.py
