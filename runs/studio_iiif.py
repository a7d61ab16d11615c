"""The IIIF validator (PyPI: iiif-validator) against the studio, at level 2 of Image API 3.0.

    python runs/studio_iiif.py [--level 2]

The validator asks for its own picture, a chart of 10 x 10 colours of 1000 x 1000 pixels. Here it is a field whose
pixels are the squares of the chart, under the name that the validator knows.
"""

import argparse
import re
import subprocess
import sys
import threading
import time

import torch
import uvicorn
from iiif_validator.validator import ValidationInfo

from s2id import Field
from s2id.media.images import to_float
from s2id.network.heads import Features
from s2id.network.published import PixelHead
from s2id.studio.app import create_app
from s2id.studio.compose import Drawn
from s2id.studio.settings import Limits
from s2id.studio.state import Studio

NAME = "67352ccc-d1b0-11e1-89ae-279075081939"


def chart() -> Field:
    """The validator's picture: 40 x 40 values of each square, so that only a narrow border between squares is mixed."""
    colours = torch.tensor(ValidationInfo().colorInfo, dtype=torch.uint8)  # by column, then by row
    squares = to_float(colours.transpose(0, 1))
    values = squares.repeat_interleave(40, 0).repeat_interleave(40, 1)[None]
    return Field(Features(values, (1.0, 1.0)), PixelHead(3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--level", type=int, default=2)
    parser.add_argument("--port", type=int, default=8219)
    args = parser.parse_args()
    studio = Studio(["mnist-fast"], limits=Limits(iiif_side=1000))
    studio.fields._things[NAME] = Drawn(chart(), (1000, 1000), "", 0), 1000
    host = f"127.0.0.1:{args.port}"
    app = create_app(studio, [host])
    server = uvicorn.Server(uvicorn.Config(app, port=args.port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    validator = [f"{sys.prefix}/bin/iiif-validate.py", "-s", host, "-p", "iiif", "-i", NAME, "--version", "3.0"]
    done = subprocess.run([sys.executable, *validator, "--level", str(args.level)], capture_output=True, text=True)
    print(done.stdout + done.stderr)
    passed, failed = (len(re.findall(rf"\b{word}\b", done.stdout + done.stderr)) for word in ("PASS", "FAIL"))
    print(f"level {args.level}: {passed} passed, {failed} failed")
    server.should_exit = True


if __name__ == "__main__":
    main()
