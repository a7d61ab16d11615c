"""Training at the speed of a GPU: pictures and draws stay on it, and each shape's step is one captured CUDA graph.

    python runs/gpu_train.py mnist --data data --out out/mnist --minutes 8 --batch 512 --lr 5e-3
    python runs/gpu_train.py emoji --data icons --out out/emoji --minutes 8 --batch 512 --lr 5e-3

The run is `s2id train`'s: its network, optimisers, loss, moving average, and its distributions of densities, times,
noise, conditions and target pixels, but not its random numbers, so a run is not repeated to the bit and cannot be
resumed. A small network's steps are hundreds of short kernels, which Python launches more slowly than a GPU runs them;
a graph launches all of them at once. For square pictures of one size, of which the network predicts x; the first word
is a preset of `s2id train`.
On a CPU the same steps are run without graphs, for tests.
Writes metrics.jsonl, with the loss on test pictures now and then, and model/, every `--export-seconds` and at the end.
"""

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional as F

from s2id.condition import Condition
from s2id.coords import Grid, extent, frame_grid, trained_size
from s2id.data.captions import with_words
from s2id.data.pictures import Pictures
from s2id.data.registry import load_pictures
from s2id.diffusion.denoiser import loss
from s2id.diffusion.process import alpha_sigma
from s2id.media.images import to_float
from s2id.network.heads import Features
from s2id.network.network import FieldNetwork
from s2id.network.settings import ModelConfig
from s2id.seeds import seed_of
from s2id.shapes import NULL, per_sample
from s2id.training.batches import draw_density, hide, means
from s2id.training.muon import Muon, orthogonal
from s2id.training.optimisers import learning_rate
from s2id.training.presets import PRESETS
from s2id.training.settings import Preset, TrainConfig
from s2id.training.trainer import DivergedError, Trainer

LOGGED = 250
"""Steps between lines of the log: only these wait for the GPU."""
AHEAD = 16
"""Steps that Python may be ahead of the GPU, so that the clock's learning rate is the step's own."""
WARM = 3
"""Runs of a step before its capture: they let libraries and the compiler choose and allocate what they need."""
HELD_OUT = 2000
"""Pictures of the training set and of the test set whose loss is logged."""
HELD_OUT_TIMES = (0.05, 0.15, 0.25, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Arguments:
    """What to train, and where it goes."""

    data: Path = Path("data")
    """Folder of the data set."""
    out: Path = Path("out/gpu")
    """Folder of the model and the log."""
    compile_blocks: bool = False
    """Fuse each block's kernels with torch.compile, which costs a minute first."""
    export_seconds: float = 60.0
    """Time between exports of the model."""
    held_out_seconds: float = 40.0
    """Time between measurements of the loss on pictures not trained on; 0 measures none."""
    model: ModelConfig = field(default_factory=lambda: ModelConfig(**vars(PRESETS["mnist"].model)))
    train: Annotated[TrainConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: PRESETS["mnist"].train)


class Shape(NamedTuple):
    """What tensors' sizes depend on: a graph each."""

    density: int
    latest: float
    """t below which states of this density are trained."""
    factor: int
    """Head samples per target pixel side."""


class Axis(NamedTuple):
    """Every n-th of a side's pixels, from each start: as many for all of them, of which the last may not be there."""

    pixels: Tensor
    """(starts, count): which pixels; a last one that is not there is the side's last."""
    there: Tensor
    """(starts, count): 1 where the pixel is there, else 0."""
    weights: Tensor
    """(starts, count * factor, samples): how the head reads them."""

    def at(self, start: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of one start, a tensor of one number: an index would have to be known on the host."""
        return tuple(part.index_select(0, start)[0] for part in self)  # type: ignore[return-value]


@dataclass(frozen=True)
class Batch:
    """What a step needs, on its device."""

    x_t: Tensor
    logsnr: Tensor
    condition: Condition
    """What is told of the pictures."""
    rows: Tensor
    columns: Tensor
    """How the head reads the feature samples."""
    target: Tensor
    there: Tensor
    """1 where the target is a pixel of the picture, else 0."""


def axis(pictures_side: int, samples: int, stride: int, factor: int) -> Axis:
    """The tables of a side of square pictures.

    Args:
        pictures_side: Pixels of the side.
        samples: Feature samples of the side.
        stride: Pixels from one target to the next.
        factor: Head samples per target pixel side.
    """
    whole = frame_grid((pictures_side, pictures_side))
    reader = Features(torch.empty(1, samples, samples, 1), extent((pictures_side, pictures_side)))
    places = torch.arange(stride)[:, None] + stride * torch.arange(-(-pictures_side // stride))
    there, pixels = places < pictures_side, places.clamp(max=pictures_side - 1)
    grids = [Grid(whole.y[chosen], whole.x[:1], whole.cell).refine(factor) for chosen in pixels]
    return Axis(pixels, there.float(), torch.stack([reader.weights(grid)[0] for grid in grids]))


class Feed:
    """Batches as `batches.draw` makes them, drawn where the pictures are: on the GPU, in tensors of fixed size."""

    def __init__(self, trainer: Trainer, pictures: Pictures) -> None:
        """Put everything on the device that a draw needs.

        Args:
            trainer: The run: config, schedule and device.
            pictures: The data.
        """
        (group,) = pictures.groups
        self.device, self.config, self.model = trainer.accelerator.device, trainer.config, trainer.model
        self.schedule = trainer.schedule
        self.size = (group.images.shape[2], group.images.shape[3])
        if self.size[0] != self.size[1]:
            raise SystemExit("pictures must be square: one table serves rows and columns.")
        self.pixels = group.images.to(self.device)
        self.known = group.condition().to(self.device)
        densities = (*self.config.densities, self.config.detail_density)
        # what a state is the means of does not change, so all pictures' are kept
        self.states = {
            n: means(group.images, trained_size(self.size, n, self.model.patch)).to(self.device) for n in densities if n
        }
        self.axes = {
            (n, f): Axis(*(part.to(self.device) for part in axis(self.size[0], self._samples(n), self.stride(n, f), f)))
            for n in self.states
            for f in self.config.supersample
        }
        self.spread = (torch.arange(self.config.batch) / self.config.batch).to(self.device)
        self.per_epoch = -(-len(self.known) // self.config.batch)
        self.order = torch.empty(self.per_epoch, self.config.batch, dtype=torch.long, device=self.device)
        self.position = torch.zeros(1, dtype=torch.long, device=self.device)
        self._host = torch.Generator().manual_seed(seed_of(self.config.seed, 2))
        self.shuffle()

    def _samples(self, density: int) -> int:
        return self.states[density].shape[2] // self.model.patch * self.model.lattice

    def stride(self, density: int, factor: int) -> int:
        """Pixels from one target to the next: `batches.target_pixels`'."""
        affordable = self.states[density][0, 0].numel() * self.config.queries / factor**2
        return max(1, round((self.size[0] * self.size[1] / affordable) ** 0.5))

    def shapes(self) -> list[Shape]:
        """All that are drawn."""
        config = self.config
        states = [(n, 1.0) for n, weight in zip(config.densities, config.density_weights, strict=True) if weight]
        if config.detail_density and config.detail_share:
            states.append((config.detail_density, config.detail_time))
        return [Shape(*state, factor) for state in states for factor in config.supersample]

    def choose(self) -> Shape:
        """The next batch's, by the host, which must know which graph to launch."""
        density, latest = draw_density(self.config, self._host)
        choices = self.config.supersample
        return Shape(density, latest, choices[int(torch.randint(len(choices), (), generator=self._host))])

    def shuffle(self) -> None:
        """A new epoch's order, in place, for graphs know its address; the last batch is filled from its start."""
        order = torch.randperm(len(self.known), device=self.device)
        self.order.view(-1).copy_(torch.cat([order, order[: self.order.numel() - len(order)]]))
        self.position.zero_()

    def draw(self, shape: Shape) -> Batch:
        """The next batch of the order; nothing here waits for the device."""
        config, device = self.config, self.device
        chosen = self.order.index_select(0, self.position)[0]
        self.position.add_(1)
        state = self.states[shape.density].index_select(0, chosen)
        t = shape.latest * ((torch.rand((), device=device) + self.spread) % 1)
        logsnr = self.schedule.at_density(max(state.shape[2:]) / config.densities[0]).logsnr(t)
        alpha, sigma = (per_sample(a, state) for a in alpha_sigma(logsnr))
        x_t = alpha * state + sigma * torch.randn_like(state)
        table = self.axes[shape.density, shape.factor]
        starts = [torch.randint(len(table.pixels), (1,), device=device) for _ in range(2)]
        (y, y_there, rows), (x, x_there, columns) = (table.at(start) for start in starts)
        seen = self.pixels.index_select(0, chosen).index_select(2, y).index_select(3, x)
        condition = hide(self.known[chosen], config, None)
        return Batch(x_t, logsnr, condition, rows, columns, to_float(seen), y_there[:, None] * x_there)


def fix_places(network: FieldNetwork, sizes: list[int]) -> None:
    """Make what the network says of places a table: they are computed on the host, which a graph cannot do.

    Args:
        network: What is trained.
        sizes: Tokens a side.
    """
    heard: dict[tuple[int, int], Tensor] = {}
    taken: list[Tensor] = []
    watch = network.position.out.register_forward_pre_hook(lambda _, given: taken.append(given[0].detach().clone()))
    for side in sizes:
        network.position((side, side))
        heard[side, side] = taken.pop()
    watch.remove()
    network.position.forward = lambda size: network.position.out(heard[size])  # type: ignore[method-assign]


def fix_conditions(network: FieldNetwork) -> None:
    """Let the network take conditions as they are: to refuse wrong ones it must wait for them."""

    def heard(asked: Condition) -> tuple[Tensor, Tensor | None]:
        return network.embedded(torch.where(asked.label == NULL, network.config.classes, asked.label), asked)

    network.condition_tokens = heard  # type: ignore[method-assign]


def predict(network: FieldNetwork, batch: Batch, factor: int) -> Tensor:
    """The network's pixels; the head as it is, but with its reading of the samples given."""
    encoded = network.encode(batch.x_t, batch.logsnr)
    values = network.decode(encoded, batch.condition).values
    b, _, w, d = values.shape
    read = (batch.rows.to(values) @ values.reshape(b, -1, w * d)).unflatten(2, (w, d))
    seen = network.head.values(batch.columns.to(values) @ read)
    return F.avg_pool2d(seen.movedim(-1, 1), factor)


def error_of(network: FieldNetwork, batch: Batch, factor: int, max_weight: float) -> Tensor:
    """The loss of a batch, over the targets that are there."""
    prediction = predict(network, batch, factor).float() * batch.there
    share = batch.there.mean()  # the mean below counts those that are not, as no error
    return loss("x", prediction, batch.target * batch.there, batch.logsnr, max_weight) / share


class GraphMuon(Muon):
    """Muon whose learning rate is a tensor, as a graph needs it; all matrices' momenta in one kernel each."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move the weights; all must have gradients."""
        for group in self.param_groups:
            weights, lr, share = group["params"], group["lr"], group["momentum"]
            gradients = [weight.grad for weight in weights]
            for weight in weights:
                if "momentum_buffer" not in self.state[weight]:
                    self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            momenta = [self.state[weight]["momentum_buffer"] for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - share)
            wanted = torch._foreach_lerp(gradients, momenta, share)
            alike: dict[torch.Size, list[int]] = defaultdict(list)
            for i, weight in enumerate(weights):
                alike[weight.shape].append(i)
            for shape, which in alike.items():
                steps = orthogonal(torch.stack([wanted[i] for i in which])) * (-lr * 0.2 * max(shape) ** 0.5)
                some = [weights[i] for i in which]
                torch._foreach_mul_(some, 1 - lr * group["weight_decay"])
                torch._foreach_add_(some, list(steps.unbind()))
        return None


class Engine:
    """A run's steps: one graph per shape for the gradients, and one for what the optimisers do with them."""

    def __init__(self, trainer: Trainer, feed: Feed, compile_blocks: bool = False) -> None:
        """Take over the trainer's network, optimisers and average; nothing is captured yet.

        Args:
            trainer: The run.
            feed: Of its batches.
            compile_blocks: Fuse each block's kernels.
        """
        config = trainer.config
        if not isinstance(trainer.model, ModelConfig) or config.accumulate > 1 or config.pixelate:
            raise SystemExit("this script trains plain functions of pictures, a batch at a time; use s2id train.")
        self.trainer, self.feed, self.config = trainer, feed, config
        self.device = trainer.accelerator.device
        self.network: FieldNetwork = trainer.accelerator.unwrap_model(trainer.network)
        fix_places(self.network, sorted({state.shape[2] // trainer.model.patch for state in feed.states.values()}))
        fix_conditions(self.network)
        if compile_blocks:
            torch._dynamo.config.recompile_limit = 64  # a kind of block and a density each
            for block in (*self.network.encoder, *self.network.decoder):
                block.compile(dynamic=False)
        self.weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        for weight in self.weights:
            weight.grad = torch.zeros_like(weight)  # at one address for good
        self.averages: list[Tensor] = list(trainer.average.module.parameters())
        self.averaged: list[Tensor] = list(self.network.parameters())
        self.lr = torch.zeros((), device=self.device)
        self.total, self.norm = torch.zeros((), device=self.device), torch.zeros((), device=self.device)
        self.optimisers = self._optimisers()
        self.graphs: dict[Shape, Callable[[], None]] = {}
        self.update: Callable[[], None] = self._update

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        """The trainer's, with a learning rate that graphs can be told."""
        found: list[torch.optim.Optimizer] = []
        for wrapped in self.trainer.optimisers:
            optimiser = getattr(wrapped, "optimizer", wrapped)
            if isinstance(optimiser, Muon):
                (group,) = optimiser.param_groups
                optimiser = GraphMuon(group["params"], 0.0, group["weight_decay"], group["momentum"])
            for group in optimiser.param_groups:
                group["lr"] = self.lr
                if "capturable" in group:
                    group["capturable"] = self.device.type == "cuda"
            found.append(optimiser)
        return found

    def gradients(self, shape: Shape) -> None:
        """Draw a batch and leave its gradients in the weights."""
        torch._foreach_zero_([weight.grad for weight in self.weights])
        batch = self.feed.draw(shape)
        bf16 = self.trainer.accelerator.mixed_precision == "bf16"
        # the cache of casts would outlive a graph's memory
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            error = error_of(self.network, batch, shape.factor, self.config.max_weight)
        error.backward()
        self.total.add_(error.detach())

    def _update(self) -> None:
        self.norm.copy_(nn.utils.clip_grad_norm_(self.weights, self.config.clip))
        for optimiser in self.optimisers:
            optimiser.step()

    def capture(self) -> None:
        """Record the graphs, and leave weights and optimisers as they were."""
        kept = [weight.detach().clone() for weight in self.weights]
        pool, side = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())

        def record(work: Callable[[], None]) -> Callable[[], None]:
            with torch.cuda.stream(side):
                for _ in range(WARM):
                    self.feed.position.zero_()
                    work()
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool, stream=side):
                work()
            return graph.replay

        for shape in self.feed.shapes():
            self.graphs[shape] = record(partial(self.gradients, shape))
        self.update = record(self._update)
        with torch.no_grad():
            torch._foreach_copy_(self.weights, kept)
            for optimiser in self.optimisers:
                for state in optimiser.state.values():
                    for value in state.values():
                        value.zero_()
        self.total.zero_()
        self.feed.shuffle()
        torch.cuda.synchronize()

    def step(self) -> None:
        """One optimiser step, which the device may not have done yet when this returns."""
        trainer = self.trainer
        if trainer.step and trainer.step % self.feed.per_epoch == 0:
            self.feed.shuffle()
        shape = self.feed.choose()
        self.lr.fill_(learning_rate(self.config, trainer.done))
        if shape in self.graphs:
            self.graphs[shape]()
        else:
            self.gradients(shape)
        self.update()
        self._average(trainer.step)
        trainer.step += 1

    @torch.no_grad()
    def _average(self, steps: int) -> None:
        """`optimisers.warm_average` of a count that the host knows; the first step's weights are taken as they are."""
        now = min(self.config.ema, (1 + steps) / (10 + steps)) if steps else 0.0
        torch._foreach_lerp_(self.averages, self.averaged, 1 - now)

    def run(self) -> Iterator[dict[str, Any]]:
        """Train to the end, yielding a line of the log every so many steps.

        Raises:
            DivergedError: The loss is not finite.
        """
        trainer, cuda = self.trainer, self.device.type == "cuda"
        behind: list[torch.cuda.Event] = []
        start = last = time.perf_counter()
        idle = 0.0
        while trainer.done < 1:
            self.step()
            if cuda:
                behind.append(torch.cuda.Event())
                behind[-1].record()
                if len(behind) > AHEAD:
                    behind.pop(0).synchronize()
            if trainer.step % LOGGED == 0:
                mean, norm = self.total.item() / LOGGED, self.norm.item()
                self.total.zero_()
                if not mean < float("inf"):
                    raise DivergedError(f"the loss is {mean:g} after {trainer.images_seen} images; use a lower lr.")
                now = time.perf_counter()
                speed = LOGGED * trainer.images_per_step / (now - last)
                line = {"step": trainer.step, "images_seen": trainer.images_seen, "loss": mean, "lr": self.lr.item()}
                yield line | {"gradient_norm": norm, "images_per_second": speed, "seconds": trainer.seconds}
                last = time.perf_counter()
                idle += last - now
            trainer.seconds = time.perf_counter() - start - idle
        if cuda:
            torch.cuda.synchronize()
        trainer.average.n_averaged.fill_(trainer.step)


class HeldOut:
    """The moving average's loss on pictures of the training set and of the test set, with the same noise each time."""

    def __init__(self, engine: Engine, train: Pictures, test: Pictures) -> None:
        self.engine = engine
        config, model, schedule = engine.config, engine.trainer.model, engine.trainer.schedule
        generator = torch.Generator().manual_seed(1)
        self.sets = {}
        for name, pictures in (("train", train), ("test", test)):
            (group,) = pictures.groups
            for t in HELD_OUT_TIMES:
                fine = config.detail_density and t < config.detail_time
                density = config.detail_density if fine else config.densities[0]
                state = means(group.images[:HELD_OUT], trained_size(engine.feed.size, density, model.patch))
                logsnr = schedule.at_density(max(state.shape[2:]) / config.densities[0]).logsnr(
                    torch.full((len(state),), t)
                )
                alpha, sigma = (per_sample(a, state) for a in alpha_sigma(logsnr))
                x_t = alpha * state + sigma * torch.randn(state.shape, generator=generator)
                target = to_float(group.images[:HELD_OUT])
                given = (x_t, logsnr, group.condition(torch.arange(len(state))), target)
                self.sets[name, t] = tuple(one.to(engine.device) for one in given)

    @torch.no_grad()
    def __call__(self) -> dict[str, list[float]]:
        """Mean squared errors of the pixels, times 1,000, by set: one per time."""
        network = self.engine.trainer.average.module
        grid = frame_grid(self.engine.feed.size)
        found: dict[str, list[float]] = defaultdict(list)
        for (name, _), (x_t, logsnr, known, target) in self.sets.items():
            said = network(x_t, logsnr, known, grid=grid.to(self.engine.device), supersample=3)
            found[name].append(round(1000 * (said - target).square().mean().item(), 3))
        return dict(found)


def main() -> None:
    name = sys.argv[1] if sys.argv[1:] and sys.argv[1] in PRESETS else "mnist"
    preset = PRESETS[name]
    default = Arguments(model=ModelConfig(**vars(preset.model)), train=preset.train)
    args = tyro.cli(Arguments, description=__doc__, default=default, args=[a for a in sys.argv[1:] if a != name])
    started = time.perf_counter()
    args.out.mkdir(parents=True, exist_ok=True)
    train, test = (
        load_pictures(
            preset.data, args.data, split, args.train.long_side, alpha=args.train.alpha, workers=args.train.workers
        )
        for split in ("train", "test")
    )
    trainer = Trainer(Preset(preset.data, args.model, args.train), train, args.out)
    train, test = trainer.pictures, with_words(test, trainer.pictures.words)
    if trainer.accelerator.device.type == "cuda":
        torch.cuda.manual_seed(seed_of(trainer.config.seed, 3))
    engine = Engine(trainer, Feed(trainer, train), args.compile_blocks)
    held_out = HeldOut(engine, train, test) if args.held_out_seconds else None
    if trainer.accelerator.device.type == "cuda":
        engine.capture()
    print(f"ready after {time.perf_counter() - started:.0f} s, {len(engine.graphs)} graphs", flush=True)
    exported = measured = time.perf_counter()
    with (args.out / "metrics.jsonl").open("w") as log:
        for line in engine.run():
            now = time.perf_counter()
            if held_out and now - measured > args.held_out_seconds:
                line |= held_out()
                measured = now
            if now - exported > args.export_seconds:
                trainer.result().save_pretrained(args.out / "model")
                exported = now
            log.write(json.dumps(line) + "\n")
            log.flush()
        last = {"images_seen": trainer.images_seen, "seconds": trainer.seconds}
        log.write(json.dumps(last | (held_out() if held_out else {})) + "\n")
    trainer.result().save_pretrained(args.out / "model")
    print(f"trained on {trainer.images_seen:,} images in {trainer.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
