#!/usr/bin/env bash
# Every table of docs/results on the shipped model: at guidance 1 and 1.5, its loss against t, what calls do, and what calls and guidance do
# without its guide and its finer states. Three to four hours on two cores.
#   runs/results.sh DATA_FOLDER [WEIGHTS]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} weights=${2:-mnist} bin=.venv/bin
$bin/s2id t-scrape "$weights" --data "$data" --points 100 --out docs/results/t-scrape
$bin/s2id evaluate "$weights" --data "$data" --guidance 1.5 --count 1000 --size 28x28 --out docs/results/mnist-guidance1.5
$bin/s2id evaluate "$weights" --data "$data" --out docs/results/mnist-guidance1
$bin/s2id evaluate "$weights" --data "$data" --count 10000 --size 28x28 --out docs/results/mnist-10000
$bin/python runs/steps.py "$weights" --data "$data" --count 1000 --solvers dpmpp ddim --calls 3 4 5 8 12 21 51 --autoguidance 1 --density 20 --out docs/results/steps
$bin/python runs/guidance.py "$weights" --data "$data" --guidance 1 1.5 2 --interval 0 1 --interval 0.1 0.6 --autoguidance 1 --density 20 --steps 20 --out docs/results/guidance
$bin/python runs/steps.py "$weights" --data "$data" --count 1000 --solvers dpmpp --calls 8 21 51 --autoguidance 2 --out docs/results/steps-guided
$bin/python runs/steps.py "$weights" --data "$data" --count 1000 --solvers dpmpp --calls 4 8 13 --out docs/results/steps-few
$bin/python runs/limit.py
