"""The training loop: a generator of progress, on one process or many, resumable; on a CPU to the bit.

Everything random in a step is drawn from the seed and its batches' numbers (`batches`), so a checkpoint at a step's
boundary needs no loader or generator state. Metrics, pictures and bars belong to the caller.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from s2id.data.pictures import Pictures
from s2id.diffusion.denoiser import loss
from s2id.diffusion.process import Schedule
from s2id.errors import InputError
from s2id.files import fill, read_tensors, replacing, write_tensors
from s2id.memory import keep_memory
from s2id.network.build import build
from s2id.network.settings import NetworkConfig, network_from_dict, network_to_dict
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.seeds import seed_of
from s2id.settings import to_dict
from s2id.training.batches import Batch, draw
from s2id.training.latents import on_latents
from s2id.training.optimisers import _load_optimisers, _optimisers, warm_average
from s2id.training.pixelated import Views, fitted
from s2id.training.run import checkpoints
from s2id.training.settings import Preset, TrainConfig

_FORMAT = "s2id-training-1"


class DivergedError(RuntimeError):
    """The loss stopped being a number; the last good checkpoint is kept."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after an optimiser step."""

    step: int
    images_seen: int
    loss: float
    """Mean over the step's images, of all processes."""
    lr: float
    gradient_norm: float
    images_per_second: float
    done: float
    """Share of the run, 0 to 1."""
    seconds_left: float


def multiplies_bf16(cpu: bool) -> bool:
    """Whether the processor that trains has instructions for products in bf16; without, they crawl."""
    if torch.cuda.is_available() and not cpu:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


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
        self.model = preset.model.for_data(
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
        cpu = self.config.cpu or torch.backends.mps.is_available()  # coordinates need digits that MPS has not
        if precision == "auto":
            precision = "bf16" if multiplies_bf16(cpu) else "no"
        self.accelerator = Accelerator(cpu=cpu, mixed_precision=precision)
        torch.manual_seed(self.config.seed)
        network = build(self.model)
        if start is not None:
            network.load_state_dict(start.network.state_dict())
        network.recompute(self.config.recompute)
        self.average = AveragedModel(
            network, device=self.accelerator.device, multi_avg_fn=warm_average(self.config.ema)
        )
        self.network, *self.optimisers = self.accelerator.prepare(network, *_optimisers(network, self.config))
        self.forward: nn.Module = torch.compile(self.network) if self.config.compile else self.network  # type: ignore[assignment]
        self.schedule = Schedule(shift=self.config.schedule_shift)
        self._batches = Ahead(self._batch)
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
            kind=self.pictures.reader,
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
        keep_memory()
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
        norm = float(self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.clip))
        # a finite loss may have a gradient that is not: no step is taken on either, so no checkpoint holds them
        if not (math.isfinite(mean) and math.isfinite(norm)):
            raise DivergedError(
                f"the loss is {mean:g} and its gradient's norm {norm:g} after {self.images_seen} images; the last good "
                "checkpoint is kept: resume it with a lower lr, or look at the data."
            )
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad()
        self.average.update_parameters(self.accelerator.unwrap_model(self.network))
        self.step += 1
        return Progress(self.step, self.images_seen, mean, lr, norm, 0.0, 0.0, 0.0)

    def _forward_backward(self, micro: int) -> Tensor:
        processes = self.accelerator.num_processes
        number = (self.step * self.config.accumulate + micro) * processes + self.accelerator.process_index
        device = self.accelerator.device
        ahead = device.type == "cuda" and self.config.token_share == 1  # a share of less changes in the run
        batch = self._batches(number, processes) if ahead else self._batch(number)
        torch.manual_seed(seed_of(self.config.seed, number, 1))  # the coordinates' jitter, dropout
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

    def _batch(self, number: int) -> Batch:
        if self.lessons is not None:
            return self.lessons(number)
        return draw(self.pictures, self.config, self.model, self.schedule, number, self.token_share)

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
        own = torch.tensor(seconds, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(own, "mean").item())

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
                    "model": network_to_dict(self.model),
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
            found = checkpoints(self.folder)
            now = found.index(final) + 1
            # those beyond this one are of a run that was given up for it
            for old in (*found[: max(0, now - self.config.keep)], *found[now:]):
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def _check_start(self, start: S2ID) -> None:
        if not start.card.knows(self.pictures.names):
            raise InputError(f"the model to begin with knows other things than {self.pictures.name}; use its own data.")
        if start.config != self.model:
            raise InputError(
                "the model to begin with is another network; give the run the model's own settings (`s2id info` prints "
                "them)."
            )

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, on a CPU to the bit as if there had been no interruption.

        Raises:
            InputError: The checkpoint is damaged or of another run.
        """
        try:
            facts = json.loads((checkpoint / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{checkpoint} is no checkpoint ({error}); name one of the run's.") from error
        if network_from_dict(facts["model"], str(checkpoint)) != self.model:
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
        if (before := facts["train"].get("optimiser")) != self.config.optimiser:
            raise InputError(f"{checkpoint} was trained with {before}; resume it as it was (--optimiser {before}).")
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
        return [list(names) for names in self.pictures.names]

    def _state(self) -> dict[str, Tensor]:
        network = self.accelerator.unwrap_model(self.network)
        state = {f"network/{k}": v for k, v in network.state_dict().items()}
        state |= {f"average/{k}": v for k, v in self.average.module.state_dict().items()}
        for number, optimiser in enumerate(self.optimisers):
            for i, values in optimiser.state_dict()["state"].items():
                state |= {f"optimiser/{number}.{i}.{k}": v for k, v in values.items()}
        return state


class Ahead:
    """Batches drawn in threads while an accelerator works on those before them."""

    def __init__(self, draw: Callable[[int], Batch], depth: int = 8) -> None:
        """Set up.

        Args:
            draw: The batch of a number, a function of it alone.
            depth: Batches that are drawn ahead.
        """
        self._draw, self._depth = draw, depth
        self._pool = ThreadPoolExecutor(max(1, min(depth, (os.cpu_count() or 2) // 2)))
        self._coming: dict[int, Future[Batch]] = {}

    def __call__(self, number: int, stride: int = 1) -> Batch:
        """The batch of a number; those of the next numbers, `stride` apart, begin to be drawn."""
        for later in range(number, number + self._depth * stride, stride):
            if later not in self._coming:
                self._coming[later] = self._pool.submit(self._draw, later)
        return self._coming.pop(number).result()


class _Rate:
    """A rate, smoothed over about twenty steps."""

    def __init__(self) -> None:
        self.amount = self.seconds = 0.0

    def __call__(self, amount: int, seconds: float) -> float:
        self.amount, self.seconds = 0.95 * self.amount + amount, 0.95 * self.seconds + seconds
        return self.amount / self.seconds


def check_data(pictures: Pictures, config: TrainConfig, model: NetworkConfig) -> None:
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
