"""The training loop: a generator of progress, on one process or many, resumable to the bit.

Everything random in a step is drawn from (seed, rank, images seen), so a checkpoint at a step's boundary needs no
loader or generator state. Metrics, pictures and bars belong to the caller.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from s2id.checkpoint import S2ID, fill, read_tensors, write_tensors
from s2id.condition import Condition, cat
from s2id.config import Card, InputError, ModelConfig, Pixelation, Preset, Size, TrainConfig, from_dict, to_dict
from s2id.coords import Grid, Part, extent, frame_grid, state_size
from s2id.data import Pictures, chosen_at
from s2id.denoiser import loss
from s2id.images import replacing, resize, to_bytes, to_float
from s2id.latents import on_latents
from s2id.model import Network, state_grid
from s2id.muon import Muon
from s2id.pixelate import Views, enlarged, fitted, look
from s2id.schedule import Schedule, alpha_sigma
from s2id.shapes import NULL, Images, Scalars, per_sample

_FORMAT = "s2id-training-1"
_FLOATS = 2**24
"""Values of pictures that are floats at once."""


class DivergedError(RuntimeError):
    """The loss stopped being a number; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after an optimiser step."""

    step: int
    images_seen: int
    loss: float
    """Mean over this process's images of the step."""
    lr: float
    gradient_norm: float
    images_per_second: float
    done: float
    """Share of the run, 0 to 1."""
    seconds_left: float


@dataclass(frozen=True)
class Batch:
    """One forward pass: states and what the network should say of them."""

    x_t: Images
    logsnr: Scalars
    condition: Condition
    """One per image, or every image's and then none."""
    frame: tuple[float, float]
    grid: Grid
    supersample: int | None
    """Head samples per pixel side; `None` is as many as the pixel needs."""
    target: Float[Tensor, "b k y x"] | Views
    """What the network should have said, or what was seen of it."""
    state: Float[Tensor, "b _ _ _"] | None
    """The clean states that the network should say too; `None` where they are pictures."""
    part: Part | None
    """Rows and columns of the states that the network sees; `None` is all."""


def draw(
    pictures: Pictures, config: TrainConfig, model: ModelConfig, schedule: Schedule, number: int, share: float = 1.0
) -> Batch:
    """Batch `number` of the run: pictures, densities, times and noise, all a function of (seed, number).

    Args:
        pictures: The data.
        config: Of the run.
        model: Of the network.
        schedule: Of the run.
        number: Which batch.
        share: Of the states' tokens and of the targets; below 1 the batch has a window's.
    """
    generator = torch.Generator().manual_seed(stream(config.seed, number))
    group, chosen = chosen_at(pictures, number, config.batch, config.seed)
    pixels, known = group.images[chosen], group.condition(chosen)
    seen = Pixelation.read(config.observe) if config.observe else None
    if seen and seen.kind == "bicubic":
        pixels = to_bytes(enlarged(to_float(pixels), seen.cell))
    size = (pixels.shape[2], pixels.shape[3])
    density, latest = draw_density(config, generator)
    if group.latents is not None:
        state = group.latents[chosen].float()
    else:
        state = means(pixels, trained_size(size, density, model.patch))
    t = latest * stratified(len(state), generator)
    logsnr = schedule.at_density(max(state.shape[2:]) / config.densities[0]).logsnr(t)
    alpha, sigma = (per_sample(a, state) for a in alpha_sigma(logsnr))
    eps = torch.randn(state.shape, generator=generator)
    x_t = alpha * state + sigma * eps
    condition = hide(known, config, generator)
    if config.both_conditions:
        condition = cat([condition, condition.unknown()])
    samples = state.shape[2], state.shape[3]
    part = None if share == 1 else token_window(samples, model.patch, share, generator)
    height, width = part or (slice(0, samples[0]), slice(0, samples[1]))
    if model.dense:
        target = {"x": state, "eps": eps, "v": alpha * eps - sigma * state}[model.prediction][:, :, height, width]
        grid = state_grid(samples, extent(size)).part(height, width)
        return Batch(x_t, logsnr, condition, extent(size), grid, 1, target, None, part)
    factor = config.supersample[int(torch.randint(len(config.supersample), (), generator=generator))]
    if seen and seen.kind == "area":  # the state is a view as well, from the place of no shift
        views = look(to_float(pixels), seen, config.views, generator)
        return Batch(x_t, logsnr, condition, extent(size), frame_grid(size), factor, views, None, part)
    affordable = (height.stop - height.start) * (width.stop - width.start) * config.queries / factor**2
    inside = whole_pixels(size[0], samples[0], height), whole_pixels(size[1], samples[1], width)
    rows, columns = target_pixels(inside, affordable, generator)
    grid = frame_grid(size).part(rows, columns)
    clean = state[:, :, height, width] if model.latents else None
    target = to_float(pixels[:, :, rows, columns])
    return Batch(x_t, logsnr, condition, extent(size), grid, factor, target, clean, part)


def means(pixels: UInt8[Tensor, "b c h w"], size: Size) -> Float[Tensor, "b c y x"]:
    """The pictures at a state's size. Large ones are made floats a few at a time: all at once may not fit."""
    few = max(1, _FLOATS // pixels[0].numel())
    return torch.cat([resize(to_float(some), size) for some in pixels.split(few)])


def draw_density(config: TrainConfig, generator: torch.Generator) -> tuple[int, float]:
    """A batch's state density, and the t below which its times are."""
    if config.detail_density and torch.rand((), generator=generator) < config.detail_share:
        return config.detail_density, config.detail_time
    weights = torch.tensor(config.density_weights)
    return config.densities[int(torch.multinomial(weights, 1, generator=generator))], 1.0


def trained_size(size: Size, density: int, patch: int) -> Size:
    """Size of the state of pictures of a size: the density's where they have as many pixels, on neither side more."""
    fitting = max(patch, min(density, max(size)) // patch * patch)
    height, width = state_size(fitting, extent(size), patch)
    return min(height, size[0] // patch * patch), min(width, size[1] // patch * patch)


def hide(known: Condition, config: TrainConfig, generator: torch.Generator) -> Condition:
    """What is known, without what training leaves out.

    Some images lose everything. The others lose each of their labels with a chance that is drawn per image where there
    are several, so that a model learns to be asked for any few of them.
    """
    known = known.where(torch.rand(len(known), generator=generator) >= config.drop_label)
    if known.attributes is None and known.numbers is None and known.tokens is None:
        return known
    share = 2 * config.drop_each * torch.rand(len(known), 1, generator=generator)

    def lost(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=generator) < share

    label, attributes, numbers, tokens = known.label, known.attributes, known.numbers, known.tokens
    nan = float("nan")
    return Condition(
        label.masked_fill(lost(label[:, None])[:, 0], NULL),
        None if attributes is None else attributes.masked_fill(lost(attributes), 0),
        None if numbers is None else numbers.masked_fill(lost(numbers), nan),
        None if tokens is None else tokens.masked_fill(lost(tokens[:, 0, :1])[..., None], nan),
    )


def stratified(count: int, generator: torch.Generator) -> Scalars:
    """Times that are each uniform on [0, 1) and together evenly spread (Kingma et al. 2021, arXiv 2107.00630, I.1)."""
    return (torch.rand((), generator=generator) + torch.arange(count) / count) % 1


def multiplies_bf16(cpu: bool) -> bool:
    """Whether the processor that trains has instructions for products in bf16; without, they crawl."""
    if torch.cuda.is_available() and not cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def token_window(size: Size, patch: int, share: float, generator: torch.Generator) -> Part:
    """A random window of a state: rows and columns of samples that hold about a share of its tokens.

    A window, for a scattered subset would leave the convolution, the windows of attention and the head no grid. It is
    drawn wherever it touches the state and pushed inside: drawn inside, it would seldom see the corners.

    Args:
        size: Height and width of the state.
        patch: Samples per token side.
        share: Of the tokens, above 0; both sides shrink alike, to two tokens at least.
        generator: Source of randomness.
    """

    def along(side: int) -> slice:
        tokens = side // patch
        kept = min(tokens, max(2, round(tokens * math.sqrt(share))))
        start = int(torch.randint(1 - kept, tokens, (), generator=generator))
        start = min(max(start, 0), tokens - kept)
        return slice(start * patch, (start + kept) * patch)

    return along(size[0]), along(size[1])


def whole_pixels(pixels: int, samples: int, part: slice) -> slice:
    """Which of a side's pixels lie wholly within some of its samples."""
    return slice(-(-part.start * pixels // samples), part.stop * pixels // samples)


def target_pixels(inside: Part, pixels: float, generator: torch.Generator) -> Part:
    """Every n-th of some rows and columns from a random start: about `pixels` pixels, spread over all of them."""
    sides = [axis.stop - axis.start for axis in inside]
    stride = max(1, round(math.sqrt(sides[0] * sides[1] / pixels)))
    rows, columns = (
        slice(axis.start + int(torch.randint(min(stride, side), (), generator=generator)), axis.stop, stride)
        for axis, side in zip(inside, sides, strict=True)
    )
    return rows, columns


def stream(*key: int) -> int:
    """A 63-bit seed that any change of the key changes throughout (SplitMix64; Steele et al. 2014)."""
    mask, state = 2**64 - 1, 0
    for part in key:
        state = (state ^ part) + 0x9E3779B97F4A7C15 & mask
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
        state = (state ^ state >> 27) * 0x94D049BB133111EB & mask
        state ^= state >> 31
    return state >> 1


def learning_rate(config: TrainConfig, done: float) -> float:
    """Linear warm-up, then a cosine to the final rate.

    Args:
        config: Of the run.
        done: Share of the run, 0 to 1.
    """
    if done < config.warmup:
        return config.lr * (done / config.warmup)
    share = min(1.0, (done - config.warmup) / (1 - config.warmup))
    return config.final_lr + (config.lr - config.final_lr) * 0.5 * (1 + math.cos(math.pi * share))


class Trainer:
    """A run: network, moving average, optimiser and position, in memory and in a folder."""

    def __init__(
        self,
        preset: Preset,
        pictures: Pictures,
        folder: Path,
        start: S2ID | None = None,
        lessons: Callable[[int], Batch] | None = None,
    ) -> None:
        """Set up a run at its beginning.

        Args:
            preset: What to train and how; channels and what is known of pictures are taken from the data.
            pictures: The data.
            folder: Where checkpoints go.
            start: A model whose weights to begin with; `None` begins with random ones.
            lessons: Batch of each number, and what comes out is what `start` was but for its weights; `None` draws
                them from the pictures.

        Raises:
            InputError: The data are not what the preset or `start` can use.
        """
        preset = on_latents(fitted(preset, pictures), pictures)
        self.config = preset.train
        self.model = replace(
            preset.model,
            channels=pictures.channels,
            latents=pictures.latent_shape[0],
            classes=len(pictures.labels),
            attributes=len(pictures.attributes),
            numbers=len(pictures.numbers),
            token_width=pictures.token_width,
        )
        check_data(pictures, self.config, self.model)
        self.pictures, self.folder = pictures, folder
        if start is not None:
            self._check_start(start)
        self.start, self.lessons = start, lessons
        precision = self.config.precision
        if precision == "auto":
            precision = "bf16" if multiplies_bf16(self.config.cpu) else "no"
        self.accelerator = Accelerator(cpu=self.config.cpu, mixed_precision=precision)
        torch.manual_seed(self.config.seed)
        network = Network(self.model)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        network.recompute(self.config.recompute)
        self.average = AveragedModel(
            network, device=self.accelerator.device, multi_avg_fn=_warm_average(self.config.ema)
        )
        self.network, *self.optimisers = self.accelerator.prepare(network, *_optimisers(network, self.config))
        self.forward: nn.Module = torch.compile(self.network) if self.config.compile else self.network  # type: ignore[assignment]
        self.schedule = Schedule(shift=self.config.schedule_shift)
        self.step = 0
        self.seconds = 0.0
        self.stopping = False

    @property
    def images_seen(self) -> int:
        """Images drawn so far, over all processes."""
        return self.step * self.images_per_step

    @property
    def images_per_step(self) -> int:
        """Images per optimiser step, over all processes."""
        return self.config.batch * self.config.accumulate * self.accelerator.num_processes

    @property
    def done(self) -> float:
        """Share of the run behind, 0 to 1."""
        if self.config.minutes is not None:
            return min(1.0, self.seconds / (60 * self.config.minutes))
        return min(1.0, self.images_seen / self.config.images)

    @property
    def token_share(self) -> float:
        """Share of the states' tokens that the next step trains on."""
        return self.config.token_share if self.done < 1 - self.config.dense_finish else 1.0

    def stop(self) -> None:
        """Ask the run to end, with a checkpoint, after the step it is in."""
        self.stopping = True

    def result(self) -> S2ID:
        """The model of the moving average."""
        model = S2ID(self.model, self._card())
        model.network.load_state_dict(self.average.module.state_dict())
        return model.eval().requires_grad_(False)

    def _card(self) -> Card:
        seen = self.images_seen + (self.start.card.images_seen if self.start is not None else 0)
        if self.start is not None and self.lessons is not None:
            return replace(self.start.card, images_seen=seen)
        latents = self.pictures.latents
        return Card(
            data=self.pictures.name,
            density=self.config.densities[0],
            detail_density=self.config.detail_density,
            detail_time=self.config.detail_time if self.config.detail_density else 0.0,
            size=self.pictures.size,
            labels=self.pictures.labels,
            attributes=self.pictures.attributes,
            numbers=self.pictures.numbers,
            number_ranges=self.pictures.number_ranges,
            observe=self.config.observe or "",
            autoencoder=latents.autoencoder if latents else "",
            latent_factor=latents.factor if latents else 1,
            latent_mean=latents.mean if latents else (),
            latent_std=latents.std if latents else (),
            images_seen=seen,
            schedule_s=self.schedule.s,
            schedule_shift=self.schedule.shift,
        )

    def run(self) -> Iterator[Progress]:
        """Train to the end, yielding after every optimiser step and writing checkpoints on the way.

        Raises:
            DivergedError: The loss is not finite.
        """
        saved_seconds, saved_images = self.seconds, self.images_seen
        rate = _Rate()
        while self.done < 1 and not self._agree_to_stop():
            start = time.perf_counter()
            progress = self._step()
            self.seconds = self._agree_on_seconds(self.seconds + time.perf_counter() - start)
            speed = rate(self.images_per_step, time.perf_counter() - start)
            yield replace(
                progress,
                images_per_second=speed,
                done=self.done,
                seconds_left=self._seconds_left(speed),
            )
            if self.config.checkpoint_images is not None:
                due = self.images_seen - saved_images >= self.config.checkpoint_images
            else:
                due = self.seconds - saved_seconds >= 60 * self.config.checkpoint_minutes
            if due:
                self.save()
                saved_seconds, saved_images = self.seconds, self.images_seen
        self.save()

    def _step(self) -> Progress:
        lr = learning_rate(self.config, self.done)
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = lr
        losses = []
        for micro in range(self.config.accumulate):
            last = micro == self.config.accumulate - 1
            with nullcontext() if last else self.accelerator.no_sync(self.network):
                losses.append(self._forward_backward(micro))
        mean = self.accelerator.reduce(torch.stack(losses).mean(), "mean").item()
        if not math.isfinite(mean):
            raise DivergedError(
                f"the loss is {mean} after {self.images_seen} images; the last good checkpoint is kept: "
                "resume it with a lower lr, or look at the data."
            )
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.clip)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.average.update_parameters(self.accelerator.unwrap_model(self.network))
        self.step += 1
        return Progress(self.step, self.images_seen, mean, lr, float(norm), 0.0, 0.0, 0.0)

    def _forward_backward(self, micro: int) -> Tensor:
        processes = self.accelerator.num_processes
        number = (self.step * self.config.accumulate + micro) * processes + self.accelerator.process_index
        if self.lessons is not None:
            batch = self.lessons(number)
        else:
            batch = draw(self.pictures, self.config, self.model, self.schedule, number, self.token_share)
        device = self.accelerator.device
        torch.manual_seed(stream(self.config.seed, number, 1))  # the coordinates' jitter, dropout
        with self.accelerator.autocast():
            said = self.forward(
                batch.x_t.to(device),
                batch.logsnr.to(device),
                batch.condition.to(device),
                grid=batch.grid.to(device),
                frame=batch.frame,
                supersample=batch.supersample,
                part=batch.part,
            )
        conditions = len(batch.condition) // len(batch.x_t)
        field, state = said if isinstance(said, tuple) else (said, None)
        prediction, logsnr = field.float(), batch.logsnr.repeat(conditions).to(device)
        target = batch.target.to(device)
        if isinstance(target, Views):
            target = torch.cat([target.correct(part) for part in prediction.detach().split(len(batch.x_t))])
        else:
            target = target.repeat(conditions, 1, 1, 1)
        error = loss(self.model.prediction, prediction, target, logsnr, self.config.max_weight)
        if state is not None and batch.state is not None:
            clean = batch.state.to(device).repeat(conditions, 1, 1, 1)
            error = error + loss(self.model.prediction, state.float(), clean, logsnr, self.config.max_weight)
        self.accelerator.backward(error / self.config.accumulate)
        return error.detach()

    def _seconds_left(self, speed: float) -> float:
        if self.config.minutes is not None:
            return 60 * self.config.minutes - self.seconds
        return (self.config.images - self.images_seen) / speed

    def _agree_to_stop(self) -> bool:
        """True on every process as soon as one was asked to stop."""
        if self.accelerator.num_processes == 1:
            return self.stopping
        flag = torch.tensor(float(self.stopping), device=self.accelerator.device)
        return bool(self.accelerator.reduce(flag, "sum").item())

    def _agree_on_seconds(self, seconds: float) -> float:
        """The processes' mean: they must decide alike what depends on time."""
        if self.accelerator.num_processes == 1:
            return seconds
        return float(self.accelerator.reduce(torch.tensor(seconds, device=self.accelerator.device), "mean").item())

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and drop the oldest. Every process calls it.

        Raises:
            InputError: The folder cannot be written; the older checkpoints stay.
        """
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            final = self.folder / "checkpoints" / f"{self.images_seen:012d}"
            partial = final.with_name(f".{final.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            try:
                write_tensors(partial / "training.safetensors", self._state(), {"format": _FORMAT})
                facts = {
                    "step": self.step,
                    "seconds": self.seconds,
                    "images_per_step": self.images_per_step,
                    "train": to_dict(self.config),
                    "model": to_dict(self.model),
                    "data": self.pictures.name,
                    "names": self._names(),
                    "autoencoder": self._autoencoder,
                }
                with replacing(partial / "run.json") as file:
                    file.write(json.dumps(facts, indent=2).encode())
                shutil.rmtree(final, ignore_errors=True)
                os.replace(partial, final)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            for old in checkpoints(self.folder)[: -self.config.keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def _check_start(self, start: S2ID) -> None:
        known = [list(names) for names in (start.card.labels, start.card.attributes, start.card.numbers)]
        if known != self._names():
            raise InputError(f"the model to begin with knows other things than {self.pictures.name}; use its own data.")
        if start.config != self.model:
            raise InputError(
                "the model to begin with is another network; give the run the model's own settings (`s2id info` prints "
                "them)."
            )

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, to the bit as if there had been no interruption.

        Raises:
            InputError: The checkpoint is damaged or of another run.
        """
        try:
            facts = json.loads((checkpoint / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{checkpoint} is no checkpoint ({error}); name one of the run's.") from error
        if from_dict(ModelConfig, facts["model"], str(checkpoint)) != self.model:
            raise InputError(f"{checkpoint} is of another network; resume with the preset and data it was made with.")
        if facts.get("names", self._names()) != self._names():
            raise InputError(
                f"{checkpoint} knows other labels, or in another order, than the data; resume it with its own."
            )
        if (before := facts["train"].get("observe")) != self.config.observe:
            raise InputError(
                f"{checkpoint} was trained with observe {before or 'off'} and not {self.config.observe or 'off'}; "
                "resume it as it was."
            )
        if (before := facts.get("autoencoder", "")) != self._autoencoder:
            raise InputError(
                f"{checkpoint} was trained with {before or 'no autoencoder'} and not with "
                f"{self._autoencoder or 'none'}; resume it as it was (--vae)."
            )
        if facts["images_per_step"] != self.images_per_step:
            raise InputError(
                f"{checkpoint} was made with {facts['images_per_step']} images per step and this run has "
                f"{self.images_per_step}; use the same batch, accumulate and number of processes."
            )
        tensors, _ = read_tensors(checkpoint / "training.safetensors", _FORMAT)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "average": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            part, rest = name.split("/", 1)
            parts[part][rest] = tensor
        fill(self.accelerator.unwrap_model(self.network), parts["network"], checkpoint)
        fill(self.average.module, parts["average"], checkpoint)
        self.average.n_averaged.fill_(facts["step"])
        _load_optimisers(self.optimisers, parts["optimiser"])
        self.step, self.seconds = facts["step"], facts["seconds"]

    @property
    def _autoencoder(self) -> str:
        """Whose latents the states are, if they are any's."""
        return self.pictures.latents.autoencoder if self.pictures.latents else ""

    def _names(self) -> list[list[str]]:
        """Every class, attribute and number, in their order: each has weights of its own."""
        return [list(names) for names in (self.pictures.labels, self.pictures.attributes, self.pictures.numbers)]

    def _state(self) -> dict[str, Tensor]:
        network = self.accelerator.unwrap_model(self.network)
        state = {f"network/{k}": v for k, v in network.state_dict().items()}
        state |= {f"average/{k}": v for k, v in self.average.module.state_dict().items()}
        for number, optimiser in enumerate(self.optimisers):
            for i, values in optimiser.state_dict()["state"].items():
                state |= {f"optimiser/{number}.{i}.{k}": v for k, v in values.items()}
        return state


class _Rate:
    """A rate, smoothed over about twenty steps."""

    def __init__(self) -> None:
        self.amount = self.seconds = 0.0

    def __call__(self, amount: int, seconds: float) -> float:
        self.amount, self.seconds = 0.95 * self.amount + amount, 0.95 * self.seconds + seconds
        return self.amount / self.seconds


def checkpoints(folder: Path) -> list[Path]:
    """A run's complete checkpoints, oldest first."""
    return sorted(p for p in (folder / "checkpoints").glob("[0-9]*") if (p / "run.json").is_file())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The run folder, for one run only.

    Raises:
        InputError: Another process has it, or it cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise InputError(f"{folder} is in use by another run; wait for it or choose another with --out.") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}); choose another with --out.") from error
    with lock:
        yield


def check_data(pictures: Pictures, config: TrainConfig, model: ModelConfig) -> None:
    """Refuse data that the run cannot use.

    Raises:
        InputError: Pictures are smaller than a patch, or densities are no multiples of it.
    """
    detail = (config.detail_density,) if config.detail_density else ()
    if detail and model.dense:
        raise InputError("detail_density is for networks that predict functions; leave it 0 with this model.")
    if wrong := [n for n in (*config.densities, *detail) if n < model.patch or n % model.patch]:
        raise InputError(f"density {wrong[0]} is no multiple of the patch {model.patch}; choose one that is.")
    height, width = min((group.images.shape[2:] for group in pictures.groups), key=min)
    if min(height, width) < model.patch:
        raise InputError(
            f"{pictures.name} has images of {height}x{width} pixels and the patch is {model.patch}, and none is "
            "enlarged; remove them or use a smaller patch."
        )


def _optimisers(network: Network, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the blocks' matrices if asked; both decay matrices only."""
    plain = {p for m in network.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    blocks = {p for p in (*network.encoder.parameters(), *network.decoder.parameters()) if p.ndim == 2}
    hidden = blocks if config.optimiser == "muon" else set()
    matrices = [p for p in network.parameters() if p.ndim > 1 and p not in plain | hidden]
    others = [p for p in network.parameters() if p.ndim <= 1 or p in plain]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99), fused=True)
    if not hidden:
        return [adamw]
    own = [p for p in network.parameters() if p in hidden]
    return [adamw, Muon(own, config.lr, config.weight_decay)]


def _load_optimisers(optimisers: list[Any], tensors: dict[str, Tensor]) -> None:
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for name, tensor in tensors.items():
        number, index, key = name.split(".", 2)
        states[int(number)].setdefault(int(index), {})[key] = tensor
    for optimiser, state in zip(optimisers, states, strict=True):
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _warm_average(decay: float) -> Callable[..., None]:
    """A moving average whose decay rises to `decay`: (1 + n) / (10 + n) after n steps."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], steps: Tensor) -> None:
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(averages, currents, 1 - now)

    return update
