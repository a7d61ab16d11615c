"""The command line. Flags are generated from the dataclasses.

torch is imported inside the commands, so that help is there at once.
"""

import json
import os
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import tyro

from s2id.cli.distil import Distill, Guide
from s2id.cli.options import (
    data_set,
    device,
    long_side,
    name_files,
    parse_seeds,
    parse_size,
    parse_window,
    suffix,
    writable,
)
from s2id.cli.restore import Depixelate, Restore, Upscale
from s2id.diffusion.settings import ALWAYS, NoiseKind
from s2id.errors import InputError
from s2id.evaluation.settings import EvaluateConfig
from s2id.network.settings import ModelConfig
from s2id.sampling.settings import DEFAULT_STEPS, Sampling
from s2id.settings import MAX_PIXELS, Fit, Size, to_dict
from s2id.training.follow import drive
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset, TrainConfig

_PROTOCOL = EvaluateConfig()


@dataclass(frozen=True)
class Sample:
    """Draw pictures from a model's weights."""

    weights: tyro.conf.Positional[str] = "mnist"
    """A bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    label: str = "all"
    """Class index or name, several with commas, "all", or "none" for no condition."""
    with_: Annotated[str, tyro.conf.arg(name="with")] = ""
    """Attributes that the pictures have, with commas; `s2id info` says which the model knows."""
    without: str = ""
    """Attributes that they have not."""
    numbers: str = ""
    """Numbers in the data's unit, as in age=30."""
    stronger: str = ""
    """Guidance of single labels, as in smiling=4; the others have --guidance."""
    avoid: str = ""
    """Attributes to move away from, as strongly as --guidance says."""
    size: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Height x width of the pictures, as in 1024x576; repeat for several sizes. Default: the training data's."""
    seed: int | None = None
    """The seed (0 if neither this nor --seeds is given)."""
    seeds: str | None = None
    """Several seeds, as in 0-63 or 1,5,9."""
    window: str | None = None
    """Region to look at: top,left,bottom,right as fractions of the frame."""
    fit: Fit = "fit"
    """Where aspects differ: "fit" shows more canvas, "fill" less frame, "stretch" squeezes."""
    steps: int | None = None
    """Solver steps. Default: 12; a distilled model's own."""
    guidance: float | None = None
    """1 is off; more exaggerates the label. Default: 1.5; a distilled model has its own built in."""
    guidance_interval: tuple[float, float] = ALWAYS
    """First and last time of guidance; time runs from 1, noise, to 0."""
    autoguidance: float | None = None
    """How far to move away from what the model's guide would draw; 1 is off. Default: the model's own."""
    sampler: str = "dpmpp"
    """The solver."""
    eta: float = 0.0
    """Fresh noise per step with ddim and dpmpp, 0 to 1."""
    density: int | None = None
    """Compose on one state of so many samples along the long side. Default: as trained, which may end on a finer one;
    the size, where the model is dense."""
    noise: NoiseKind = "nested"
    """"nested" shows a seed's one picture at all densities; "white" is unrelated at every size."""
    shift: bool = True
    """Match the noise to the density; off, as published, denser states lose diversity."""
    out: Path = Path("out")
    """Folder for the pictures."""
    grid: bool = False
    """One sheet per size instead of single files: a row per label, a column per seed."""
    fields: bool = False
    """Also write each function to a file that `s2id render` draws at any size."""
    max_pixels: int = MAX_PIXELS
    """Refuse larger pictures."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""


@dataclass(frozen=True)
class Render:
    """Draw a field file at any size; no model is needed."""

    field: tyro.conf.Positional[Path]
    """File that `s2id sample --fields` wrote."""
    size: tyro.conf.UseAppendAction[tuple[str, ...]]
    """Height x width of the picture, as in 1024x576; repeat for several sizes."""
    window: str | None = None
    """Region to look at: top,left,bottom,right as fractions of the frame."""
    fit: Fit = "fit"
    """Where aspects differ: "fit" shows more canvas, "fill" less frame, "stretch" squeezes."""
    out: Path | None = None
    """Folder for the pictures; the field's own if not given."""
    max_pixels: int = MAX_PIXELS
    """Refuse larger pictures."""


@dataclass(frozen=True)
class Info:
    """Say what a model's weights are, as JSON."""

    weights: tyro.conf.Positional[str]
    """A bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""


@dataclass(frozen=True)
class Evaluate:
    """Judge a model at every size: a table, as text, Markdown and JSON, and a picture of curves."""

    weights: tyro.conf.Positional[str] = "mnist"
    """A bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    data: Path | None = None
    """Folder of the data the model was trained on; found or downloaded if not given."""
    judge: str | None = None
    """Name of a bundled judge or a file of one; the data set's own if not given."""
    features: Literal["judge", "inception"] = "judge"
    """In which sets are compared: the judge's, or for colour pictures Inception's, where torch-fidelity is installed;
    then data without a judge is judged too, but for its classes."""
    size: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Height x width of a row, as in 1024x576; repeat. Default: nine sizes from 14x14 to 1024x1024."""
    count: int = _PROTOCOL.count
    """Pictures per size."""
    detail: int = _PROTOCOL.detail
    """Pictures per size whose strokes and zooms are measured."""
    guidance: float | None = _PROTOCOL.sampling.guidance
    """1 is off; more exaggerates the label."""
    guidance_interval: tuple[float, float] = _PROTOCOL.sampling.guidance_interval
    """First and last time of guidance; time runs from 1, noise, to 0."""
    autoguidance: float | None = _PROTOCOL.sampling.autoguidance
    """How far to move away from what the model's guide would draw; 1 is off. Default: the model's own."""
    steps: int | None = _PROTOCOL.sampling.steps
    """Solver steps. Default: 12; a distilled model's own."""
    sampler: str = _PROTOCOL.sampling.sampler
    """The solver."""
    eta: float = _PROTOCOL.sampling.eta
    """Fresh noise per step with ddim and dpmpp, 0 to 1."""
    density: int | None = _PROTOCOL.sampling.density
    """Samples along the long side of the only state to compose on. Default: as trained."""
    noise: NoiseKind = _PROTOCOL.sampling.noise
    """Where a dense model composes: "nested" shows a seed's one picture at all sizes, "white" is unrelated."""
    shift: bool = _PROTOCOL.sampling.shift
    """Match the noise to the density; off, as published, denser states lose diversity."""
    fit: Literal["fit", "stretch"] = _PROTOCOL.fit
    """Where aspects differ: "fit" shows more canvas, "stretch" squeezes."""
    quick: bool = False
    """At most 300 pictures, none beyond 256 pixels."""
    out: Path = Path("out/evaluate")
    """Folder for the table and the curves."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""


@dataclass(frozen=True)
class TScrape:
    """Measure the loss against t, with and without the label, as the published system plots it."""

    weights: tyro.conf.Positional[str] = "mnist"
    """A bundled model's name, a .safetensors file, a folder that holds one, or a Hub repository."""
    data: Path | None = None
    """Folder of the data the model was trained on; found or downloaded if not given."""
    points: int = 500
    """Times."""
    batch: int = 100
    """Test pictures per time."""
    density: int | None = None
    """Samples along the state's long side; the data's own pixels if not given."""
    out: Path = Path("out/t-scrape")
    """Folder for the curve."""
    device: str = "cpu"
    """Where to compute: cpu, cuda."""


@dataclass(frozen=True)
class Train:
    """Train a model: `s2id train PRESET`, then --help for what the preset sets."""

    data: Path | None = None
    """Folder of the data: standard idx files, CelebA's, fonts, Noto's SVGs, or images with a metadata.csv or a
    subfolder per class. MNIST is found or downloaded. Of "hub", the data set's name there."""
    out: Path = Path("out/run")
    """Run folder: checkpoints, metrics, sample grids, the model."""
    vae: Path | None = None
    """Folder of a diffusers autoencoder (config.json and .safetensors): compose in its latents, draw pixels."""
    resume: str | None = None
    """"latest", or one of the run's checkpoint folders."""
    init: str | None = None
    """Weights to begin with instead of random ones: a bundled name, a folder or a .safetensors file."""
    dry_run: bool = False
    """Print the settings as JSON and stop; what the data decide is not filled in."""
    train: tyro.conf.OmitArgPrefixes[TrainConfig] = field(default_factory=TrainConfig)
    model: ModelConfig = field(default_factory=ModelConfig)


_TRAIN = f"Train a model: `s2id train PRESET`, with --help for what it sets. Presets: {', '.join(PRESETS)}."

Command = (
    Annotated[Sample, tyro.conf.subcommand("sample")]
    | Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Upscale, tyro.conf.subcommand("upscale")]
    | Annotated[Restore, tyro.conf.subcommand("restore")]
    | Annotated[Depixelate, tyro.conf.subcommand("depixelate")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[TScrape, tyro.conf.subcommand("t-scrape")]
    | Annotated[Info, tyro.conf.subcommand("info")]
    | Annotated[Distill, tyro.conf.subcommand("distill")]
    | Annotated[Guide, tyro.conf.subcommand("guide")]
    | Annotated[Train, tyro.conf.subcommand("train", description=_TRAIN)]
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    The exit code is 0, 1 where training diverged, 2 for bad input, 130 where it was stopped, and 141 where whoever read
    its output had enough (`| head`).
    """
    try:
        try:
            return _run(list(sys.argv[1:] if arguments is None else arguments))
        finally:
            sys.stdout.flush()
    except InputError as error:
        print(f"s2id: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("s2id: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more as it ends
        return 141


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        print(f"s2id {version('s2id')}")
        return 0
    if words[:1] == ["train"] and words[1:2] and not words[1].startswith("-"):
        return _train_preset(words[1], words[2:])
    command: Sample | Render | Upscale | Restore | Depixelate | Evaluate | TScrape | Info | Distill | Guide | Train
    command = tyro.cli(
        Command,
        args=words,
        prog="s2id",
        description="Trains on small images, draws at any size. `s2id --version` says which this is.",
    )
    match command:
        case Sample():
            return _sample(command)
        case Render():
            return _render(command)
        case Upscale() | Restore() | Depixelate() | Distill() | Guide():
            return command.run()
        case Evaluate():
            return _evaluate(command)
        case TScrape():
            return _t_scrape(command)
        case Info():
            return _info(command)
        case Train():
            raise InputError(f"train needs a preset; choose {', '.join(PRESETS)}.")


def parse_numbers(text: str) -> dict[str, float]:
    """Values by name, from "name=value" with commas.

    Raises:
        InputError: It is nothing of the kind.
    """
    try:
        return {name.strip(): float(value) for name, value in (part.split("=") for part in _words(text))}
    except ValueError as error:
        raise InputError(f"{text!r} is not name=value with commas; write it as in age=30,smiling=4.") from error


def _sample(command: Sample) -> int:
    sizes = [parse_size(text) for text in command.size]
    seeds, window = parse_seeds(command.seed, command.seeds), parse_window(command.window)
    sampling = replace(_sampling(command), stronger=tuple(parse_numbers(command.stronger).items()))
    import torch
    from tqdm import tqdm

    from s2id.coords import view
    from s2id.images import tile, write
    from s2id.sampling.conditions import ask
    from s2id.sampling.field import check_pixels
    from s2id.sampling.model import load
    from s2id.sampling.sample import affordable, sample

    model = load(command.weights, device(command.device))
    for size in sizes:
        view(size, window=window, fit=command.fit)
        check_pixels(size, command.max_pixels)
    sizes = sizes or [model.card.size or (model.card.density, model.card.density)]
    labels = _labels(command.label, model.card.labels, model.config.classes)
    jobs = [(label, seed) for label in labels for seed in seeds]
    attributes = {**dict.fromkeys(_words(command.with_), True), **dict.fromkeys(_words(command.without), False)}
    numbers = parse_numbers(command.numbers)
    asked = {label: ask(model, label, attributes=attributes, numbers=numbers) for label in labels}
    avoid = ask(model, attributes=dict.fromkeys(_words(command.avoid), True)) if command.avoid else None
    said = _said(command)
    writable(command.out)
    sheets: dict[Size, list[torch.Tensor]] = {size: [] for size in sizes}
    written: list[Path] = []
    composing = rendering = 0.0
    # a dense model's composition is the picture: one per size
    dense = model.config.dense and command.density is None
    compositions: list[tuple[Size | None, int | None, list[Size]]]
    compositions = [(s, max(s), [s]) for s in sizes] if dense else [(None, command.density, sizes)]
    batches = [
        (composition, jobs[first : first + batch])
        for composition in compositions
        for batch in [affordable(composition[1] or model.card.density)]
        for first in range(0, len(jobs), batch)
    ]
    with tqdm(total=len(compositions) * len(jobs), unit="field", disable=len(jobs) < 2, leave=False) as bar:
        for (aspect, density, shown), part in batches:
            start = time.perf_counter()
            drawn = sample(
                model,
                [asked[label] for label, _ in part],
                [seed for _, seed in part],
                replace(sampling, density=density),
                avoid=avoid,
                aspect=aspect,
            )
            composing += time.perf_counter() - start
            start = time.perf_counter()
            for (label, seed), one in zip(part, drawn, strict=True):
                stem = "-".join([*([] if label is None else [f"label{_in_a_name(label)}"]), *said, f"seed{seed}"])
                if command.fields:
                    composed = f"-{suffix(aspect, None)}" if aspect else ""
                    written.append(command.out / f"{stem}{composed}.safetensors")
                    one.save(written[-1])
                for size in shown:
                    if command.grid:
                        sheets[size].append(one.render(size, window, command.fit, command.max_pixels)[0].cpu())
                    else:
                        written.append(command.out / f"{stem}-{suffix(size, window)}.png")
                        one.write(written[-1], size, window, command.fit, command.max_pixels)
                bar.update()
            rendering += time.perf_counter() - start
    for size, pictures in sheets.items():
        if pictures:
            written.append(command.out / f"{'-'.join(['grid', *said])}-{suffix(size, window)}.png")
            write(written[-1], tile(torch.stack(pictures), len(seeds)))
    print(f"composed {len(jobs)} in {composing:.2f} s, rendered and wrote in {rendering:.2f} s")
    name_files(written)
    return 0


def _sampling(command: Sample | Evaluate) -> Sampling:
    names = (
        "steps", "guidance", "guidance_interval", "autoguidance", "sampler", "eta", "density", "noise", "shift",
    )  # fmt: skip
    return Sampling(**{name: getattr(command, name) for name in names})


def _render(command: Render) -> int:
    sizes, window = [parse_size(text) for text in command.size], parse_window(command.window)
    if not sizes:
        raise InputError("render needs a size; give --size HEIGHTxWIDTH.")
    from s2id.sampling.field import Field

    one = Field.load(command.field)
    folder = command.out or command.field.parent
    writable(folder)
    written = []
    for size in sizes:
        written.append(folder / f"{command.field.stem}-{suffix(size, window)}.png")
        one.write(written[-1], size, window, command.fit, command.max_pixels)
    name_files(written)
    return 0


def _evaluate(command: Evaluate) -> int:
    config = EvaluateConfig(
        sizes=tuple(parse_size(text) for text in command.size) or _PROTOCOL.sizes,
        count=command.count,
        detail=command.detail,
        fit=command.fit,
        sampling=_sampling(command),
    )
    config = config.quick() if command.quick else config
    sampling = config.sampling
    from tqdm import tqdm

    from s2id.data.registry import load_pictures
    from s2id.evaluation.evaluate import evaluate
    from s2id.evaluation.judge import bundled, inception
    from s2id.evaluation.judge import load as load_judge
    from s2id.evaluation.report import Report, blank_figure
    from s2id.files import checksum
    from s2id.sampling.model import load
    from s2id.sampling.sample import autoguidance_of

    model = load(command.weights, device(command.device))
    name, folder = data_set(model.card, command.weights, command.data)
    extractor = inception() if command.features == "inception" else None
    judge = load_judge(command.judge or name) if command.judge or not extractor or name in bundled() else None
    least = model.config.patch  # what training left out is left out
    train, test = (
        load_pictures(name, folder, split, long_side(model.card), min_side=least) for split in ("train", "test")
    )
    writable(command.out)
    blank_figure(1.0, 1.0)  # without matplotlib no hour is spent on what cannot be drawn
    facts = {
        "weights": command.weights,
        "weights sha256": checksum(model.tensors()),
        "images seen": model.card.images_seen,
        "data": name,
        "n": config.count,
        "detail of": config.detail,
        "guidance": "built in" if model.card.times else sampling.guidance,
        "guidance interval": list(sampling.guidance_interval),
        "autoguidance": autoguidance_of(model, sampling.autoguidance),
        "steps": sampling.steps or len(model.card.times) or DEFAULT_STEPS,
        "sampler": "its own calls" if model.card.times else sampling.sampler,
        "eta": sampling.eta,
        "density": "the size" if model.config.dense else sampling.density or model.card.density,
        "detail density": 0 if sampling.density else model.card.detail_density,
        "noise": sampling.noise,
        "shift": sampling.shift,
        "fit": config.fit,
        "features": command.features,
    }
    if judge:
        facts |= {"judge sha256": judge.sha256, "judge right on the test set": judge.accuracy}
    if len(train) < config.count:
        facts["n of the training set's row"] = len(train)
    if name == "folder":
        facts["test set"] = "a folder has none: these are the pictures that the model trained on"
    report = Report(facts, ())
    written = [command.out / f"table.{ending}" for ending in ("md", "json")]
    for row in tqdm(evaluate(model, judge, train, test, config, extractor), total=len(config.sizes) + 1, unit="size"):
        report = replace(report, rows=(*report.rows, row))
        for path, text in zip(written, (report.markdown(), report.json()), strict=True):
            path.write_text(text + "\n", encoding="utf-8")
    print(report.markdown())
    report.plot(command.out / "curves.png")
    name_files([*written, command.out / "curves.png"])
    return 0


def _t_scrape(command: TScrape) -> int:
    from tqdm import tqdm

    from s2id.data.registry import load_pictures
    from s2id.evaluation.report import blank_figure
    from s2id.evaluation.t_scrape import Curve, t_scrape
    from s2id.files import checksum
    from s2id.sampling.model import load

    model = load(command.weights, device(command.device))
    name, folder = data_set(model.card, command.weights, command.data)
    pictures = load_pictures(name, folder, "test", long_side(model.card), min_side=model.config.patch)
    writable(command.out)
    blank_figure(1.0, 1.0)
    walk = t_scrape(model, pictures, points=command.points, batch=command.batch, density=command.density)
    curve = Curve(tuple(tqdm(walk, total=command.points, unit="t")))
    facts = {
        "weights": command.weights,
        "weights sha256": checksum(model.tensors()),
        "data": name,
        "density": command.density or max(pictures.size),
        "loss": curve.loss,
        "points": [to_dict(point) for point in curve.points],
    }
    (command.out / "curve.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    same = name == "mnist" and facts["density"] == 28
    beside = " (published system: 0.03464)" if same else ""
    print(f"mean squared error of eps over t and both conditions: {curve.loss:.5f}{beside}")
    curve.plot(command.out / "curve.png")
    name_files([command.out / "curve.json", command.out / "curve.png"])
    return 0


def _info(command: Info) -> int:
    from s2id.files import checksum
    from s2id.sampling.model import load

    model = load(command.weights)
    guide = {"parameters of the guide": sum(p.numel() for p in model.guide.parameters())} if model.guide else {}
    facts = {
        "weights": command.weights,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        **guide,
        "sha256": checksum(model.tensors()),
        **model.facts(),
    }
    print(json.dumps(facts, indent=2))
    return 0


def _train_preset(name: str, words: list[str]) -> int:
    if name not in PRESETS:
        near = get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose {', '.join(PRESETS)}."
        raise InputError(f"there is no preset {name!r}; {hint}")
    preset = PRESETS[name]
    default = Train(out=Path("out") / name, train=preset.train, model=preset.model)
    command = tyro.cli(Train, args=words, prog=f"s2id train {name}", default=default)
    preset = replace(preset, train=command.train, model=command.model)
    if command.dry_run:
        folders = {"folder": command.data, "vae": command.vae}
        run = {"preset": name, "data": preset.data, **{k: str(v) if v else None for k, v in folders.items()}}
        print(json.dumps({**run, "out": str(command.out), **to_dict(preset)}, indent=2))
        return 0
    return _train(preset, command)


def _train(preset: Preset, command: Train) -> int:
    from s2id.data.registry import load_pictures
    from s2id.sampling.model import load as load_model
    from s2id.training.latents import encoded
    from s2id.training.latents import load as load_autoencoder
    from s2id.training.trainer import Trainer

    config = preset.train
    pictures = load_pictures(
        preset.data, command.data, long_side=config.long_side, min_side=preset.model.patch, workers=config.workers
    )
    if command.vae:
        # the autoencoder is gone when training begins: its latents are enough
        pictures = encoded(pictures, load_autoencoder(command.vae), preset.model.patch)
    start = load_model(command.init) if command.init else None
    return drive(Trainer(preset, pictures, command.out, start), command.out, command.resume)


def _labels(text: str, names: Sequence[str], classes: int) -> list[str | None]:
    if text == "none" or (text == "all" and not classes):
        return [None]
    if text == "all":
        return list(names) if names else [str(i) for i in range(classes)]
    return [part.strip() for part in text.split(",")]


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _said(command: Sample) -> list[str]:
    """What is asked beside a class, for the names of files."""
    kinds = {"with": command.with_, "without": command.without, "": command.numbers, "avoid": command.avoid}
    parts = [f"{kind}-{word}".strip("-") for kind, text in kinds.items() for word in _words(text)]
    stronger = [f"stronger-{word}" for word in _words(command.stronger)]
    return [_in_a_name(part) for part in (*parts, *stronger)]


def _in_a_name(text: str) -> str:
    """A label as part of a file's name: what no file system minds; a long one cut, with a checksum of the whole."""
    plain = "".join(c if c.isalnum() or c in "-_=." else "_" for c in text)
    return plain if len(plain) <= 40 else f"{plain[:32]}-{zlib.crc32(text.encode()):08x}"
