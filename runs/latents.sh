#!/usr/bin/env bash
# Pixels against latents as states: emoji at 64 pixels, the same network and the same minutes for both, judged against their truth.
# Pixel states are as coarse as the preset celeba composes at 64 (40 samples); latents are 16 a side, one for 4x4 pixels, two a token.
#   runs/latents.sh DATA_FOLDER [MINUTES]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} minutes=${2:-14} bin=.venv/bin out=${OUT:-out/latents}
mkdir -p "$out"
common="--data $data --long-side 64 --minutes $minutes --sample-minutes 0"
[ -f "$out/judge.safetensors" ] ||
  $bin/python runs/classifier.py --name emoji --long-side 64 --epochs 5 --strength 0.4 --data "$data" --out "$out/judge.safetensors"
[ -d "$out/vae" ] || $bin/python runs/vae.py emoji --data "$data" --long-side 64 --minutes "$(($minutes / 2))" --out "$out/vae"
[ -d "$out/pixels/model" ] || $bin/s2id train emoji $common --densities 40 48 32 --out "$out/pixels"
[ -d "$out/latents/model" ] || $bin/s2id train emoji $common --vae "$out/vae" --out "$out/latents"
for states in pixels latents; do
  $bin/python runs/truth.py judge "$out/$states/model" --data "$data" --judge "$out/judge.safetensors" \
    --count 300 --sides 128 256 --detail 150 --out "$out/$states-judged"
  $bin/s2id sample "$out/$states/model" --label none --seeds 0-11 --size 64x64 --guidance 1 --steps 12 --grid --out "$out/$states-drawn"
done
