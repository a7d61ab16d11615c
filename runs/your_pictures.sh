#!/usr/bin/env bash
# docs/your-pictures.md, done: from a folder that nobody prepared to a rendered 2048 px picture.
# bash runs/your_pictures.sh PICTURES [OUT] [MINUTES]: PICTURES is any folder of pictures; 500 crops of them, of mixed
# sizes and aspects, some on their side, one of them broken, are what is trained on.
set -euo pipefail
pictures=$1 out=${2:-out/your-pictures} minutes=${3:-60}
mkdir -p "$out"
python - "$pictures" "$out/photos" <<'PYTHON'
import random
import sys
from pathlib import Path

from PIL import Image

source, target = map(Path, sys.argv[1:])
files = [file for file in sorted(source.rglob("*")) if file.suffix.lower() in (".png", ".jpg", ".jpeg")]
chance = random.Random(0)
target.mkdir()
for i in range(500):
    with Image.open(files[i % len(files)]) as image:
        width, height = (round(side * chance.uniform(0.4, 1)) for side in image.size)
        left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
        exif = Image.Exif()
        exif[0x0112] = 6 if i % 10 == 0 else 1
        crop = image.crop((left, top, left + width, top + height)).convert("L" if i % 50 == 1 else "RGB")
        crop.save(target / f"{i:03}.jpg", quality=90, exif=exif)
file = target / "499.jpg"
file.write_bytes(file.read_bytes()[:2000])
PYTHON
s2id train folder --data "$out/photos" --minutes "$minutes" --set sample-minutes=0 --out "$out/run"
s2id info "$out/run/model"
s2id sample "$out/run/model" --label none --seed 0-7 --grid --out "$out/pictures"
s2id sample "$out/run/model" --label none --seed 3 --size 2048x2048 --fit fill --fields --out "$out/pictures"
s2id render "$out/pictures/seed3.safetensors" --size 512x512 --window 0.25,0.25,0.5,0.5
