"""Diffusers' UNet and DiT that hear words and styles, beside the preset `emoji`, after as many minutes from scratch.

    python runs/emoji_peers.py --data FOLDER --judge out/icons-judge.safetensors --minutes 30 --out out/emoji-peers

- s2id: the preset `emoji`, as `s2id train emoji` trains it.
- unet: UNet2DConditionModel, the kind of network that Stable Diffusion has, with about as many parameters.
- dit: PixArtTransformer2DModel, a DiT that attends to captions, on patches of 4x4.

The others attend to what ours is told: a token, learned with the network, for the style and for each of the words, in
no order; all are dropped in one of ten pictures, for guidance. They predict eps at 64x64, with the optimiser and the
moving average of runs/peers.py. FOLDER and judge are those of runs/emoji.py, and so are the columns. All draw by dpmpp
with `--steps` steps, ours with guidance 1.5, the others with `--guidance`. Their minutes are the processor's (bind
OMP_NUM_THREADS to 1), so that what else the machine does costs them nothing; ours are the clock's, the canvas included.
Started again, it goes on where it was. Writes table.md, table.json and NAME.png, sheets of the first 24 that were seen
in training.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import train_once
from diffusers import PixArtTransformer2DModel, UNet2DConditionModel
from emoji import drawings_of
from peers import EPS_ADAMW, EPS_AVERAGE, EPS_SCHEDULERS, Recipe, eps_loss, network_of
from torch import Tensor, nn

import s2id
from s2id.condition import Condition
from s2id.data.captions import learn_words
from s2id.data.registry import load_pictures
from s2id.data.split import Part
from s2id.evaluation.held_out import PARTS, Drawings, Nearness, of_samples
from s2id.evaluation.judge import Judge
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.report import markdown
from s2id.evaluation.samples import as_saved
from s2id.files import write_text
from s2id.media.alpha import over
from s2id.media.images import write
from s2id.media.sheets import sheet
from s2id.memory import keep_memory
from s2id.sampling.settings import Card, Sampling
from s2id.settings import Alpha
from s2id.training.presets import PRESETS

SIDE, BATCH, SHOWN = 64, 16, 24
OWN_GUIDANCE = 1.5
JUDGED: tuple[Part, ...] = ("train", "pair")
Draw = Callable[[Condition, int], Tensor]
"""(styles and words, first seed) -> pictures."""


class Captioned(nn.Module):
    """A network of diffusers with an embedding of styles and words; called as those that take classes are."""

    def __init__(self, network: nn.Module, known: int, width: int, **constant: Any) -> None:
        super().__init__()
        self.network, self.constant = network, constant
        self.tokens = nn.Embedding(known + 1, width)

    def forward(self, x: Tensor, timestep: Tensor, class_labels: Tensor) -> Any:
        """The network's output; `class_labels` are indices of tokens, (b, n), where 0 is no token."""
        seen = class_labels > 0
        seen[:, 0] = True  # attention needs something to look at
        return self.network(
            x,
            timestep=timestep,
            encoder_hidden_states=self.tokens(class_labels),
            encoder_attention_mask=seen.to(x.dtype),
            **self.constant,
        )


def tokens_of(known: Condition, styles: int) -> Tensor:
    """Indices of a picture's tokens, its style first."""
    assert known.words is not None
    words = torch.where(known.words >= 0, known.words + 1 + styles, 0)
    return torch.cat([known.label[:, None] + 1, words], dim=1)


def dropped(styles: int, known: Condition, share: float, generator: torch.Generator) -> Tensor:
    """Indices of tokens as `tokens_of` gives them, without any in a share of the pictures."""
    tokens = tokens_of(known, styles)
    return tokens.masked_fill((torch.rand(len(tokens), generator=generator) < share)[:, None], 0)


def unet(known: int) -> nn.Module:
    """A convolutional network that attends to tokens at 16x16 and 8x8."""
    network = UNet2DConditionModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(32, 64, 144, 192),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=16,
        norm_num_groups=16,
    )
    return Captioned(network, known, 128)


def dit(known: int) -> nn.Module:
    """A transformer on patches of 4x4."""
    network = PixArtTransformer2DModel(
        num_attention_heads=8,
        attention_head_dim=32,
        in_channels=3,
        out_channels=3,
        num_layers=8,
        cross_attention_dim=256,
        sample_size=SIDE,
        patch_size=4,
        caption_channels=128,
        interpolation_scale=1,
        use_additional_conditions=False,
    )
    return Captioned(network, known, 128, added_cond_kwargs={"resolution": None, "aspect_ratio": None})


def drawn_by_theirs(network: nn.Module, styles: int, guidance: float, steps: int) -> Draw:
    """Sampling with diffusers' scheduler and guidance."""

    @torch.inference_mode()
    def draw(asked: Condition, first: int) -> Tensor:
        scheduler = EPS_SCHEDULERS["dpmpp"]()
        scheduler.set_timesteps(steps)
        seeds = range(first, first + len(asked))
        x = torch.stack([torch.randn(3, SIDE, SIDE, generator=torch.Generator().manual_seed(s)) for s in seeds])
        tokens = tokens_of(asked, styles)
        both = torch.cat([tokens, torch.zeros_like(tokens)])
        for t in scheduler.timesteps:
            said = network(torch.cat([x, x]), timestep=t.expand(2 * len(x)), class_labels=both).sample
            told, untold = said.chunk(2)
            x = scheduler.step(untold + guidance * (told - untold), t, x).prev_sample
        return x.clamp(-1, 1)

    return draw


def drawn_by_ours(model: s2id.S2ID, steps: int, ground: Alpha) -> Draw:
    """Sampling with a model of the package."""

    def draw(asked: Condition, first: int) -> Tensor:
        seeds = range(first, first + len(asked))
        return over(s2id.sample(model, asked, seeds, Sampling(steps, OWN_GUIDANCE)).render((SIDE, SIDE)), ground)

    return draw


def judged(draw: Draw, drawings: Drawings, judge: Judge, count: int, out: Path) -> list[dict[str, Any]]:
    """Rows of a network's samples of each part, and its sheet."""
    near, rows = Nearness.of(drawings), []
    for part in JUDGED:
        chosen = drawings.of_part(part)[:count]
        start = time.process_time()
        asked = drawings.asked[chosen].split(BATCH)
        pictures = torch.cat([draw(some, i * BATCH) for i, some in enumerate(asked)])
        seconds = (time.process_time() - start) / len(chosen)
        found = of_samples(as_saved(pictures), chosen, drawings, judge, near)
        rows.append({"asked for": PARTS[part], "n": len(chosen), **found, "seconds": seconds})
        if part == "train":
            captions = [drawings.captions[i] for i in chosen[:SHOWN].tolist()]
            write(out, sheet(pictures[:SHOWN], captions, 8))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of packages of icons")
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--count", type=int, default=300, help="samples of each part, at most")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=3.0, help="of diffusers' networks")
    parser.add_argument("--networks", nargs="*", choices=("s2id", "unet", "dit"), default=("s2id", "unet", "dit"))
    parser.add_argument("--out", type=Path, default=Path("out/emoji-peers"))
    args = parser.parse_args()
    keep_memory()
    preset, judge = PRESETS["emoji"].train, load_judge(args.judge)
    pictures = load_pictures("vectors", args.data, "train", SIDE, alpha=preset.alpha)
    pictures = learn_words(pictures, preset.word_pictures)
    words, styles = pictures.words, len(pictures.labels)
    known = Card(pictures.name, labels=pictures.labels, words=words, alpha=pictures.alpha)
    drawings, ground = drawings_of(known, judge, args.data)
    table = args.out / "table.json"
    rows: list[dict[str, Any]] = json.loads(table.read_text()) if table.is_file() else []
    for name in args.networks:
        if any(row["network"] == name for row in rows):
            continue
        network: nn.Module
        if name == "s2id":
            train_once(args.out / name, "emoji", "--data", str(args.data), "--minutes", str(args.minutes))
            ours = s2id.load(args.out / name / "model")
            assert ours.card.words == words, "all are asked for the same"
            draw, network, images = drawn_by_ours(ours, args.steps, ground), ours.network, ours.card.images_seen
        else:
            make = partial({"unet": unet, "dit": dit}[name], styles + len(words))
            recipe = Recipe(make, eps_loss, EPS_SCHEDULERS, EPS_ADAMW, EPS_AVERAGE, partial(dropped, styles))
            network, images = network_of(recipe, pictures, args.minutes, BATCH, args.out / name)
            draw = drawn_by_theirs(network, styles, args.guidance, args.steps)
        weights = sum(p.numel() for p in network.parameters())
        with torch.no_grad():
            found = judged(draw, drawings, judge, args.count, args.out / f"{name}.png")
        rows += [{"network": name, "parameters": weights, "images": images, **row} for row in found]
        write_text(table, json.dumps(rows, indent=1) + "\n")
        columns = list(dict.fromkeys(column for row in rows for column in row))
        text = markdown(columns, ([row.get(column) for column in columns] for row in rows))
        write_text(args.out / "table.md", f"{args.minutes:g} minutes of training each, at {SIDE}x{SIDE}\n\n{text}\n")
        print(text, flush=True)


if __name__ == "__main__":
    main()
