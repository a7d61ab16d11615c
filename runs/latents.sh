#!/usr/bin/env bash
# DATA_FOLDER holds SVG files in a subfolder per class, or packages of icons.
# Pixels against latents as states: the same network and the same minutes for both, judged against their truth at 64 pixels.
# Pixel states are as coarse as the preset celeba composes, 40 samples for 64 pixels; latents are one for 4x4 pixels, two a token.
#   runs/latents.sh DATA_FOLDER [MINUTES [SIDE [COUNT [STEPS]]]]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} minutes=${2:-14} side=${3:-64} count=${4:-300} steps=${5:-20} bin=.venv/bin out=${OUT:-out/latents-${3:-64}}
mkdir -p "$out"
common="--data $data --long-side $side --set attention=window --minutes $minutes --set sample-minutes=0"
[ -f "$out/judge.safetensors" ] ||
  $bin/python runs/classifier.py --name vectors --alpha white --long-side 64 --epochs 5 --strength 0.4 --data "$data" --out "$out/judge.safetensors"
[ -d "$out/vae" ] || $bin/python runs/vae.py vectors --alpha white --data "$data" --long-side "$side" --minutes "$((minutes / 2))" --out "$out/vae"
[ -d "$out/pixels/model" ] || $bin/s2id train emoji $common --densities $((side * 5 / 8)) $((side * 3 / 4)) $((side / 2)) --out "$out/pixels"
[ -d "$out/latents/model" ] || $bin/s2id train emoji $common --vae "$out/vae" --out "$out/latents"
for states in latents pixels; do
  $bin/python runs/truth.py judge "$out/$states/model" --data "$data" --judge "$out/judge.safetensors" \
    --seen 64 --count "$count" --steps "$steps" --sides 128 256 --detail 150 --out "$out/$states-judged"
  $bin/s2id sample "$out/$states/model" --label none --seed 0-11 --size "${side}x$side" --guidance 1 --steps 12 --grid --out "$out/$states-drawn"
done
