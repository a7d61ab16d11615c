"""Four other networks beside ours, each with about as many parameters and trained for as many minutes, then judged.

    python runs/peers.py --data data --minutes 10 --out docs/results/peers

- s2id: the preset `mnist` with 3 + 3 blocks. One composition, rendered at each size.
- reference: the published system (preset `reference`) at half its width, which makes the parameters equal.
- unet: diffusers' UNet2DModel with classes. dit: its DiTTransformer2DModel.
- kdiffusion: the same UNet, trained and drawn as k-diffusion's configs/config_mnist.json says: preconditioning, noise
  levels and loss weights (Karras et al. 2022, arXiv 2206.00364), AdamW, dropout, moving average. Classes are added; the
  network's size, the batch and the learning rate are the others', and nothing is augmented. As published it has some 20
  million parameters, and one core trains on one to two pictures a second.

The others draw other sizes as their users do: `native`, the network on a state of that size; `bicubic`, at 28x28 and
enlarged. Guidance 1 throughout. All of a row's pictures are judged at 28x28 after area means; `edge` is the width from
10 to 90 % at the size itself, in training pixels. A row whose pictures would take more than --row-minutes is not drawn:
its seconds are one step's times the number of steps, and the rest is left out. As many training pictures have a row.
The others' minutes are the processor's (bind OMP_NUM_THREADS to 1: it adds threads up), so that what else the machine
does costs them nothing; ours are the clock's. Rows are kept in --out, and weights and checkpoints in --runs: started
again, it goes on where it was, theirs at most five minutes before. Writes table.md, table.json and sheet.png.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    SchedulerMixin,
    UNet2DModel,
)
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from s2id.condition import Condition
from s2id.data.pictures import Pictures, batch_at
from s2id.data.registry import load_pictures
from s2id.evaluation.edges import edge_width
from s2id.evaluation.examiner import Examiner, RealPictures
from s2id.evaluation.judge import load as load_judge
from s2id.evaluation.likeness import likeness
from s2id.evaluation.report import markdown
from s2id.evaluation.samples import as_saved, in_turn
from s2id.files import fill, read_tensors, write_tensors
from s2id.media.images import resize, tile, to_bytes, to_float, to_pillow
from s2id.memory import keep_memory
from s2id.network.settings import ModelConfig, NetworkConfig, PublishedConfig
from s2id.sampling.model import S2ID, load
from s2id.sampling.sample import sample
from s2id.sampling.settings import Sampling
from s2id.seeds import seed_of
from s2id.training.device import multiplies_bf16
from s2id.training.optimisers import learning_rate, load_optimisers, optimiser_tensors, warm_average
from s2id.training.presets import PRESETS
from s2id.training.run import checkpoints, read_parts, write_checkpoint
from s2id.training.settings import Preset
from s2id.training.trainer import Trainer

SIDES = (28, 112, 448)
NULL_CLASS = 10
LEAST = 256  # a Frechet distance in the judge's 128 features needs as many
COLUMNS = ("frechet", "right_class", "variance", "recall", "edge", "seconds")
OURS: dict[str, NetworkConfig] = {
    "s2id": ModelConfig(**vars(PRESETS["mnist"].model) | {"encoder_blocks": 3, "decoder_blocks": 3}),
    "reference": PublishedConfig(**vars(PRESETS["reference"].model) | {"width": 64, "film_width": 64}),
}
SAMPLERS = {
    "s2id": {"dpmpp": 20},
    "reference": {"ddim": 50},
    "unet": {"ddim": 50, "dpmpp": 20},
    "dit": {"ddim": 50, "dpmpp": 20},
    "kdiffusion": {"dpmpp": 20},
}
NOISE = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
KARRAS = EDMDPMSolverMultistepScheduler(sigma_min=1e-2, sigma_max=80.0, sigma_data=0.6162)
SAVE_MINUTES = 5.0
Draw = Callable[[list[int], int, int, int], Tensor]
"""(labels, first seed, side, steps) -> pictures."""


@dataclass(frozen=True)
class Trained:
    """A trained network and its ways to sample."""

    parameters: int
    images: int
    draw: dict[str, Draw]


@dataclass(frozen=True)
class Recipe:
    """How a network of diffusers is made, trained and drawn."""

    make: Callable[[], nn.Module]
    loss: Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
    """Function (network, clean pictures, classes, generator) -> loss."""
    schedulers: dict[str, Callable[[], SchedulerMixin]]
    """The scheduler of each sampler."""
    adamw: dict
    """Settings of AdamW, without the learning rate."""
    average: Callable[..., None]
    """Update rule of the moving average."""
    labels: Callable[[Condition, float, torch.Generator], Tensor]
    """Function (labels of the data, share to drop, generator) -> what the network is told in training."""
    clock: float = 1.0
    """The network's time over the scheduler's."""


def dropped(known: Condition, share: float, generator: torch.Generator) -> Tensor:
    """Classes, some of which are replaced by the null class."""
    label = known.label
    return label.masked_fill(torch.rand(len(label), generator=generator) < share, NULL_CLASS)


def unet(dropout: float = 0.0) -> nn.Module:
    """A convolutional network of diffusers, attention at 14x14 and 7x7."""
    return UNet2DModel(
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(32, 64, 88),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=NULL_CLASS + 1,
        norm_num_groups=8,
        attention_head_dim=8,
        dropout=dropout,
    )


def dit() -> nn.Module:
    """A transformer on patches of 2x2 of diffusers; it drops classes by itself while it trains."""
    return DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=30,
        in_channels=1,
        out_channels=1,
        num_layers=5,
        sample_size=28,
        patch_size=2,
        num_embeds_ada_norm=NULL_CLASS,
    )


def eps_loss(network: nn.Module, x: Tensor, label: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of eps at uniform times of diffusers' cosine schedule."""
    eps = torch.randn(x.shape, generator=generator)
    t = torch.randint(NOISE.config.num_train_timesteps, (len(x),), generator=generator)
    said = predicted(network, NOISE.add_noise(x, eps, t), t, label)
    return F.mse_loss(said, eps)


def karras_loss(network: nn.Module, x: Tensor, label: Tensor, generator: torch.Generator) -> Tensor:
    """k-diffusion's loss: sigma's density "cosine", weights "sqrt-snr", Karras' preconditioning of the network."""
    bounds = KARRAS.config
    low, high = (math.atan(one / bounds.sigma_data) for one in (bounds.sigma_min, bounds.sigma_max))
    angle = low + (high - low) * torch.rand(len(x), generator=generator)
    sigma = bounds.sigma_data * angle.tan().view(-1, 1, 1, 1)
    noisy = x + sigma * torch.randn(x.shape, generator=generator)
    said = predicted(network, KARRAS.precondition_inputs(noisy, sigma), CLOCK * sigma.flatten().log() / 4, label)
    error = KARRAS.precondition_outputs(noisy, said, sigma) - x
    # sqrt-snr weighs the error of the network's own output, which is the picture's over c_out: together this
    return (error.square() / (sigma * bounds.sigma_data)).mean()


def predicted(network: nn.Module, x: Tensor, t: Tensor, label: Tensor) -> Tensor:
    """A network's output in floats, computed in bfloat16 where the processor multiplies that."""
    with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16(torch.device("cpu"))):
        return network(x, timestep=t, class_labels=label).sample.float()


@torch.no_grad()
def inverse_average(averages: list[Tensor], currents: list[Tensor], steps: Tensor) -> None:
    """k-diffusion's moving average: its decay is 1 - (1 + n)^(-2/3) after n steps, and at most 0.9999."""
    torch._foreach_lerp_(averages, currents, max(1e-4, (1 + int(steps)) ** -0.6667))


CLOCK = 1000.0
"""What the network's sinusoids of whole steps need of Karras' log(sigma) / 4, which is between -1.2 and 1.1."""

EPS_SCHEDULERS: dict[str, Callable[[], SchedulerMixin]] = {
    "ddim": lambda: DDIMScheduler.from_config(NOISE.config),
    # without the bound, its first steps on this schedule divide by nearly nothing (diffusers' manual)
    "dpmpp": lambda: DPMSolverMultistepScheduler.from_config(NOISE.config, lambda_min_clipped=-5.1),
}
EPS_ADAMW = {"betas": (0.9, 0.99), "weight_decay": PRESETS["mnist"].train.weight_decay}
EPS_AVERAGE = warm_average(PRESETS["mnist"].train.ema)
THEIRS = {
    "unet": Recipe(unet, eps_loss, EPS_SCHEDULERS, EPS_ADAMW, EPS_AVERAGE, dropped),
    "dit": Recipe(dit, eps_loss, EPS_SCHEDULERS, EPS_ADAMW, EPS_AVERAGE, lambda known, *_: known.label),
    "kdiffusion": Recipe(
        partial(unet, dropout=0.05),
        karras_loss,
        {"dpmpp": lambda: EDMDPMSolverMultistepScheduler.from_config(KARRAS.config)},
        {"betas": (0.95, 0.999), "eps": 1e-6, "weight_decay": 1e-3},
        inverse_average,
        dropped,
        CLOCK,
    ),
}


def train_ours(name: str, pictures: Pictures, minutes: float, folder: Path) -> Trained:
    """A network of the package, trained by its own loop with the preset's batch."""
    if not (folder / "model").is_dir():
        preset = PRESETS["mnist" if name == "s2id" else "reference"]
        config = replace(preset.train, minutes=minutes, sample_minutes=0.0, checkpoint_minutes=1.0)
        trainer = Trainer(Preset("mnist", OURS[name], config), pictures, folder)
        if found := checkpoints(folder):
            trainer.resume(found[-1])
        for _ in trainer.run():
            pass
        trainer.result().save_pretrained(folder / "model")
    model = load(folder / "model")
    parameters = sum(p.numel() for p in model.network.parameters())
    return Trained(parameters, model.card.images_seen, {s: ours(model, s) for s in SAMPLERS[name]})


def ours(model: S2ID, sampler: str) -> Draw:
    """Sampling with a model of the package."""

    def draw(labels: list[int], first: int, side: int, steps: int) -> Tensor:
        seeds = range(first, first + len(labels))
        density = side if model.config.dense else None
        drawn = sample(model, labels, seeds, Sampling(steps, 1.0, sampler=sampler, density=density))
        return drawn.render((side, side))

    return draw


def train_theirs(batch: int, name: str, pictures: Pictures, minutes: float, folder: Path) -> Trained:
    """A network of diffusers, trained by its recipe."""
    recipe = THEIRS[name]
    network, images = network_of(recipe, pictures, minutes, batch, folder)
    parameters = sum(p.numel() for p in network.parameters())
    return Trained(parameters, images, {sampler: theirs(network, recipe, sampler) for sampler in SAMPLERS[name]})


def network_of(recipe: Recipe, pictures: Pictures, minutes: float, batch: int, folder: Path) -> tuple[nn.Module, int]:
    """The network of a recipe, and how many images it was trained on; trained now if the folder does not hold it."""
    path = folder / "model.safetensors"
    if not path.is_file():
        torch.manual_seed(0)
        fit(recipe, pictures, minutes, batch, folder)
    network = recipe.make()
    tensors, facts = read_tensors(path, "peer")
    fill(network, tensors, path)
    return network.eval().requires_grad_(False), int(facts["images"])


def fit(recipe: Recipe, pictures: Pictures, minutes: float, batch: int, folder: Path) -> None:
    """Train for some minutes of processor time; writes the moving average's weights, model.safetensors.

    Stopped, it goes on where it was, at most five minutes before.
    """
    config = replace(PRESETS["mnist"].train, lr=1e-3)
    network = recipe.make()
    optimiser = torch.optim.AdamW(network.parameters(), fused=True, **recipe.adamw)
    average = AveragedModel(network, multi_avg_fn=recipe.average)
    number, before = 0, 0.0
    if found := checkpoints(folder):
        kept, facts = read_parts(found[-1]), json.loads((found[-1] / "run.json").read_text())
        network.load_state_dict(kept["network"])
        average.load_state_dict(kept["average"])
        load_optimisers([optimiser], kept["optimiser"])
        number, before = facts["step"], facts["seconds"]
    network.train()
    start, saved = time.process_time() - before, before
    while (spent := time.process_time() - start) < 60 * minutes:
        if spent - saved > 60 * SAVE_MINUTES:
            saved = spent
            parts = {"network": network.state_dict(), "average": average.state_dict()}
            parts["optimiser"] = optimiser_tensors([optimiser])
            tensors = {f"{part}/{name}": tensor for part, some in parts.items() for name, tensor in some.items()}
            write_checkpoint(folder, number * batch, tensors, {"step": number, "seconds": spent}, keep=1)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, spent / (60 * minutes))
        generator = torch.Generator().manual_seed(seed_of(0, number))
        pixels, known = batch_at(pictures, number, batch, 0)
        label = recipe.labels(known, config.drop_label, generator)
        recipe.loss(network, to_float(pixels), label, generator).backward()
        nn.utils.clip_grad_norm_(network.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad()
        average.update_parameters(network)
        number += 1
    images = {"format": "peer", "images": str(number * batch)}
    write_tensors(folder / "model.safetensors", average.module.state_dict(), images)


def theirs(network: nn.Module, recipe: Recipe, sampler: str) -> Draw:
    """Sampling with diffusers' schedulers."""

    @torch.inference_mode()
    def draw(labels: list[int], first: int, side: int, steps: int) -> Tensor:
        scheduler = recipe.schedulers[sampler]()
        scheduler.set_timesteps(steps)
        seeds = range(first, first + len(labels))
        x = torch.stack([torch.randn(1, side, side, generator=torch.Generator().manual_seed(s)) for s in seeds])
        x, label = x * scheduler.init_noise_sigma, torch.tensor(labels)
        for t in scheduler.timesteps:
            seen = scheduler.scale_model_input(x, t)
            said = network(seen, timestep=recipe.clock * t.expand(len(x)), class_labels=label).sample
            x = scheduler.step(said, t, x).prev_sample
        return x.clamp(-1, 1)

    return draw


def seconds_per_step(draw: Draw, side: int) -> float:
    """Seconds of one step for one picture, measured by two steps of a small batch."""
    batch = batch_of(side) // 4 or 1
    start = time.perf_counter()
    draw([0] * batch, 0, side, 2)
    return (time.perf_counter() - start) / (2 * batch)


def batch_of(side: int) -> int:
    """Number of pictures that memory allows at once."""
    return max(1, min(50, 50 * 28**2 * 4 // side**2))


def draw_all(draw: Draw, steps: int, side: int, count: int) -> tuple[Tensor, float]:
    """Pictures in batches, classes in turn, and seconds per picture."""
    start, batch, parts = time.perf_counter(), batch_of(side), []
    for first in range(0, count, batch):
        labels = [i % 10 for i in range(first, min(first + batch, count))]
        parts.append(draw(labels, first, side, steps))
    return torch.cat(parts), (time.perf_counter() - start) / count


def enlarged(pictures: Tensor, side: int) -> tuple[Tensor, float]:
    """Pictures enlarged by bicubic interpolation, and seconds per picture."""
    start = time.perf_counter()
    large = F.interpolate(pictures, (side, side), mode="bicubic").clamp(-1, 1)
    return large, (time.perf_counter() - start) / len(pictures)


class Bench:
    """Judge, test set and the table's rows, which are written to a file as soon as they are measured."""

    def __init__(self, data: Path, path: Path) -> None:
        judge = load_judge("mnist")
        self.examiner = Examiner(judge, None, judge.size)
        self.real = RealPictures.of(load_pictures("mnist", data, "test"), self.examiner)
        self.path = path
        self.rows: dict[str, dict] = json.loads(path.read_text()) if path.is_file() else {}

    def keep(self, name: str, facts: dict, pictures: Tensor | None, labels: Tensor, seconds: float | None) -> None:
        """Measure a row's pictures, if there are any, and write the row to the file."""
        row = {**facts, "seconds": seconds, "n": 0 if pictures is None else len(pictures)}
        if pictures is not None:
            edges, pixel = [], pictures.shape[-1] / 28
            small = torch.cat([resize(as_saved(part), self.examiner.size) for part in pictures.split(100)])
            if pixel >= 4:
                edges = [edge_width(as_saved(part), pixel) for part in pictures[:50].split(10)]
            found = likeness(small, self.examiner(small), Condition(labels.long()), self.real)
            row |= {c: getattr(found, c) for c in COLUMNS if hasattr(found, c)}
            edge = torch.cat(edges).nanmedian().item() if edges else math.nan
            row["edge"] = None if math.isnan(edge) else edge  # no edge, or none that its pixels could tell
        self.rows[name] = row
        self.path.write_text(json.dumps(self.rows, indent=1) + "\n")
        print(json.dumps({"row": name, **row}), flush=True)


def judge_rows(bench: Bench, name: str, trained: Trained, count: int, minutes: float, sides: list[int]) -> None:
    """A competitor's rows: each sampler at each size, native and, for networks of one density, enlarged."""
    labels = torch.arange(count) % 10
    per_step: dict[int, float] = {}

    def drawn(draw: Draw, steps: int, side: int) -> tuple[Tensor | None, float]:
        """The pictures, or none and what one is expected to take; a step is timed once for all samplers."""
        if side not in per_step:
            per_step[side] = seconds_per_step(draw, side)
        expected = steps * per_step[side]
        return draw_all(draw, steps, side, count) if expected * count <= 60 * minutes else (None, expected)

    for sampler, steps in SAMPLERS[name].items():
        base: tuple[Tensor | None, float] | None = None
        ways = [(side, "native") for side in sides]
        if name != "s2id":
            ways += [(side, "bicubic") for side in sides if side != 28]
        for side, way in ways:
            key = f"{name} {sampler} {side} {way}"
            if key in bench.rows:
                continue
            facts = {"network": name, "sampler": sampler, "steps": steps, "side": side, "way": way}
            facts |= {"parameters": trained.parameters, "images": trained.images}
            if way == "native" and side != 28:
                pictures, seconds = drawn(trained.draw[sampler], steps, side)
                bench.keep(key, facts, pictures, labels, seconds)
                continue
            base = base or drawn(trained.draw[sampler], steps, 28)
            if way == "native" or base[0] is None:
                bench.keep(key, facts, base[0], labels, base[1])
            else:
                large, seconds = enlarged(base[0], side)
                bench.keep(key, facts, large, labels, base[1] + seconds)


def table(rows: list[dict], minutes: float) -> str:
    """Markdown."""
    names = ("network", "parameters", "images", "sampler", "steps", "side", "way", "n", *COLUMNS)
    ordered = sorted(rows, key=lambda row: (row["side"], row["way"], row["network"]))
    cells = [[row.get(name) for name in names] for row in ordered]
    return f"{minutes:g} minutes of training each, guidance 1\n\n{markdown(names, cells)}\n"


def sheet(trained: dict[str, Trained]) -> Image.Image:
    """Two rows of 28x28 per network and sampler, as drawn for the table, with its name."""
    rows = [(name, sampler) for name in trained for sampler in SAMPLERS[name]]
    margin, high = 90, 2 * 58
    page = Image.new("L", (margin + 10 * 58, len(rows) * (high + 6)), 255)
    for i, (name, sampler) in enumerate(rows):
        drawn = trained[name].draw[sampler](list(range(10)) * 2, 0, 28, SAMPLERS[name][sampler])
        line = to_pillow(to_bytes(tile(drawn, 10, gap=1))).resize((10 * 58, high), Image.Resampling.NEAREST)
        page.paste(line, (margin, i * (high + 6)))
        ImageDraw.Draw(page).text((4, i * (high + 6) + high // 2 - 14), f"{name}\n{sampler}", fill=40, font_size=14)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--row-minutes", type=float, default=5.0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64, help="of diffusers' networks; few steps want a small one")
    parser.add_argument("--networks", nargs="*", choices=list(SAMPLERS), default=list(SAMPLERS))
    parser.add_argument("--sides", type=int, nargs="*", default=list(SIDES))
    parser.add_argument("--runs", type=Path, default=Path("out/peers"), help="weights and checkpoints")
    parser.add_argument("--out", type=Path, default=Path("out/peers"))
    args = parser.parse_args()
    if args.count < LEAST:
        parser.error(f"--count is {args.count}; a Frechet distance needs at least {LEAST}.")
    keep_memory()
    pictures = load_pictures("mnist", args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.data, args.out / "table.json")
    if "training set" not in bench.rows:
        (group,) = pictures.groups
        chosen = in_turn(group.labels, args.count)
        facts = {"network": "training set", "side": 28, "way": "native"}
        bench.keep("training set", facts, to_float(group.images[chosen]), group.labels[chosen], None)
    # all train before any is judged, so that each has the cores as the others had them
    theirs_by = partial(train_theirs, args.batch)
    train = {name: train_ours if name in OURS else theirs_by for name in args.networks}
    trained = {name: train[name](name, pictures, args.minutes, args.runs / name) for name in args.networks}
    for name in args.networks:
        judge_rows(bench, name, trained[name], args.count, args.row_minutes, args.sides)
    sheet(trained).save(args.out / "sheet.png", optimize=True)
    (args.out / "table.md").write_text(table(list(bench.rows.values()), args.minutes))
    print((args.out / "table.md").read_text())


if __name__ == "__main__":
    main()
