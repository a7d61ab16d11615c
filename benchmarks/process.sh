#!/usr/bin/env bash
# Whole processes: seconds and peak memory of drawing 1024x1024, and of rendering 8192x8192 to PNG. Needs GNU time.
#   benchmarks/process.sh [FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-out/bench} bin=.venv/bin
for size in 28x28 1024x1024 8192x8192; do
  /usr/bin/time -f "$size: %e s, peak %M kB" $bin/s2id sample mnist --label 7 --size $size --out "$out" --fields
done
for size in 1024x1024 8192x8192; do
  /usr/bin/time -f "field file to $size: %e s, peak %M kB" $bin/s2id render "$out/label7-seed0.safetensors" --size $size
done
