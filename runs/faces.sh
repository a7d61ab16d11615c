#!/usr/bin/env bash
# CelebA at a long side of 32 or 64 pixels, small enough for a processor: a generator that hears 40 attributes, a judge of them that is
# trained apart, and the table, where the judge's own share on the test set is what a perfect generator's would be. Faces of 32 pixels are
# composed on states of about 20 samples, those of 64 on about 48: what a judge names is gone at 20 (runs/LOG.md). Stopped, it goes on.
#   runs/faces.sh DATA_FOLDER [MINUTES [LONG_SIDE]]
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-data} minutes=${2:-40} side=${3:-32} bin=${BIN:-.venv/bin} out=out/faces${3:-}
states=(--densities 20 24 16 --set density-weights=0.6,0.2,0.2)
[ "$side" -lt 64 ] || states=(--densities 48 40 56 --set density-weights=0.94,0.03,0.03 --set patch=4 --set lattice=6)
if [ ! -d "$out/model" ]; then
  resume=$(compgen -G "$out/checkpoints/[0-9]*" > /dev/null && echo "--resume latest" || true)
  # shellcheck disable=SC2086
  $bin/s2id train celeba --data "$data" --long-side "$side" "${states[@]}" --set max-weight=5 \
    --set width=128 --set heads=4 --set encoder-blocks=3 --set decoder-blocks=3 --set head-width=32 \
    --minutes "$minutes" --set sample-minutes=15 --out "$out" $resume
fi
[ -f "$out-judge.safetensors" ] || $bin/python runs/classifier.py --name celeba --long-side "$side" --mirror --strength 0.4 --epochs 20 \
  --data "$data" --out "$out-judge.safetensors"
for guidance in 1 1.5 3; do
  $bin/s2id evaluate "$out/model" --data "$data" --judge "$out-judge.safetensors" --count 1000 --detail 20 --steps 20 --guidance $guidance \
    --size 32x26 --size 64x52 --size 256x208 --out "$out-judged-$guidance"
done
