"""The training loop: a generator of progress, on one process or several, that resumes exactly.

Everything random in a step is drawn from the seed and the numbers of its batches (`batches`), so a checkpoint at a
step's boundary needs no state of a loader or generator. Metrics, pictures and bars are the caller's.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from s2id.data.pictures import Pictures
from s2id.errors import InputError
from s2id.files import fill
from s2id.memory import keep_memory
from s2id.modes import modes_kept
from s2id.network.build import build
from s2id.network.canvas import Canvas
from s2id.network.network import FieldNetwork
from s2id.network.settings import network_to_dict
from s2id.sampling.model import S2ID, load
from s2id.sampling.settings import Card
from s2id.seeds import seed_of
from s2id.settings import to_dict
from s2id.stopping import uninterrupted
from s2id.training.batches import Batch, DrawAhead
from s2id.training.canvas import teach_canvas
from s2id.training.card import card_of
from s2id.training.device import accelerator_for, check_network
from s2id.training.growing import can_grow, grown, same_canvas
from s2id.training.optimisers import (
    learning_rate,
    load_optimisers,
    make_optimisers,
    optimiser_tensors,
    warm_average,
)
from s2id.training.progress import Progress, Rate
from s2id.training.run import check_same, read_facts, read_parts, write_checkpoint
from s2id.training.settings import Preset
from s2id.training.tasks import task_of


class DivergedError(RuntimeError):
    """The loss or its gradient is not finite; the last checkpoint is from before."""


class Trainer:
    """A run: network, moving average, optimisers and position, in memory and in a folder."""

    def __init__(
        self,
        preset: Preset,
        pictures: Pictures,
        folder: Path,
        start: S2ID | None = None,
        batches: Callable[[int], Batch] | None = None,
    ) -> None:
        """A run at its beginning.

        Args:
            preset: Settings of network and training. The data decide the network's channels and conditions.
            pictures: The data.
            folder: Where checkpoints are written.
            start: Model whose weights the run begins with; `None` begins with random weights.
            batches: Function from a batch's number to the batch, for distillation: the result is then `start` with
                other weights. `None` draws batches from the pictures.

        Raises:
            InputError: Preset or `start` do not fit the data, or the device is not available.
        """
        self.task = task_of(preset, pictures, start, distils=batches is not None)
        self.config, self.model, self.schedule = self.task.config, self.task.model, self.task.schedule
        self.pictures, self.folder = self.task.pictures, folder
        if start is not None:
            self._check_start(start)
        self.start, self._draw_batch = start, batches
        self.renderer = load(self.config.renderer) if self.config.renderer else None
        if self.renderer is None and start is not None and start.renderer is not None:  # it draws as it began
            self.renderer = start
        if self.config.smoothing and self.renderer is None:
            raise InputError("smoothing is of states that a renderer draws; name a renderer too, or leave it out.")
        self.accelerator = accelerator_for(self.config)
        self._build()
        self._draw_ahead = DrawAhead(self._batch)
        self.step = 0
        self.seconds = 0.0
        self.begun = 0.0
        self.length = {"images": self.config.images, "minutes": self.config.minutes}
        self.stopping = False

    def _build(self) -> None:
        """Network, moving average and optimisers, with the weights that the run begins with."""
        check_network(self.model, self.accelerator.device)
        with modes_kept():
            torch.manual_seed(self.config.seed)
            network = build(self.model)
        if self.start is not None:
            network.load_state_dict(grown(network, self.start.network))
        self._untaught: Canvas | None = None
        if isinstance(network, FieldNetwork) and not self._canvas_knows_all():
            self._untaught = deepcopy(network.canvas)  # from which it is taught, wherever a stop may have left it
        network.recompute(self.config.recompute)
        self.average = AveragedModel(
            network, device=self.accelerator.device, multi_avg_fn=warm_average(self.config.ema)
        )
        self.network, *self.optimisers = self.accelerator.prepare(network, *make_optimisers(network, self.config))
        self.forward: nn.Module = torch.compile(self.network) if self.config.compile else self.network  # type: ignore[assignment]

    def _canvas_knows_all(self) -> bool:
        """Whether the canvas that the run begins with knows all labels of the data, as a student's does."""
        if self.start is None or not same_canvas(self.start.config, self.model):
            return False
        card, pictures = self.start.card, self.pictures
        return self._draw_batch is not None or (card.names, card.words) == (pictures.names, pictures.words)

    @property
    def images_seen(self) -> int:
        """Pictures drawn so far, over all processes."""
        return self.step * self.images_per_step

    @property
    def images_per_step(self) -> int:
        """Pictures per optimiser step, over all processes."""
        return self.config.batch * self.config.accumulate * self.accelerator.num_processes

    @property
    def done(self) -> float:
        """Share of the run that is done, 0 to 1."""
        if self.config.minutes is not None:
            return min(1.0, self.seconds / (60 * self.config.minutes))
        return min(1.0, self.images_seen / self.config.images)

    @property
    def token_share(self) -> float:
        """Share of the states' tokens that the next step trains on."""
        return self.config.token_share if self.done < 1 - self.config.dense_finish else 1.0

    def extend(self, minutes: int | float) -> None:
        """Make the run end so many minutes of training from now, whether it has ended or not.

        The learning rate rises again and then falls, as `learning_rate` says.

        Args:
            minutes: Above 0.

        Raises:
            InputError: The time is out of range.
        """
        self.config = replace(self.config, minutes=self.seconds / 60 + minutes)
        self.begun = self.done

    def stop(self) -> None:
        """Ask the run to end after its present step, with a checkpoint."""
        self.stopping = True

    def result(self) -> S2ID:
        """The model with the moving average of the weights."""
        model = S2ID(self.model, self.card())
        model.network.load_state_dict(self.average.module.state_dict())
        model.eval().requires_grad_(False)
        return model if self.renderer is None else model.drawn_by(self.renderer)

    def card(self) -> Card:
        """The card of the model as it is now."""
        seen = self.images_seen + (self.start.card.images_seen if self.start is not None else 0)
        if self.start is not None and self._draw_batch is not None:
            return replace(self.start.card, images_seen=seen)
        known = self.start.card if self.start is not None else None
        return card_of(self.pictures, self.config, self.schedule, seen, self.task.palette or (), known)

    def run(self) -> Iterator[Progress]:
        """Train to the end, with checkpoints on the way, and yield the progress after every optimiser step.

        Raises:
            DivergedError: The loss is not finite.
        """
        keep_memory()
        if self._untaught is not None:
            self._teach_canvas(self._untaught)
        saved_seconds, saved_images = self.seconds, self.images_seen
        rate = Rate()
        while self.done < 1 and not self._agree_to_stop():
            start = time.perf_counter()
            with modes_kept():
                progress = self._step()
            self.seconds = self._agree_on_seconds(self.seconds + time.perf_counter() - start)
            speed = rate(self.images_per_step, time.perf_counter() - start)
            yield replace(
                progress,
                images_per_second=speed,
                done=self.done,
                seconds_left=self.seconds_left(speed),
            )
            if self.config.checkpoint_images is not None:
                due = self.images_seen - saved_images >= self.config.checkpoint_images
            else:
                due = self.seconds - saved_seconds >= 60 * self.config.checkpoint_minutes
            if due:
                self.save()
                saved_seconds, saved_images = self.seconds, self.images_seen
        self.save()
        self.stopping = False  # it may be extended and iterated over again

    def _teach_canvas(self, untaught: Canvas) -> None:
        """Teach the network's canvas, which begins with the untaught one's weights, and keep what it learned.

        The time that this takes is part of the run's; the learning rate warms up after it.
        """
        start = time.perf_counter()
        network = self.accelerator.unwrap_model(self.network)
        network.canvas.load_state_dict(untaught.state_dict())
        with modes_kept():
            teach_canvas(network, self.pictures, self.config, self._agree_to_stop, self.accelerator.autocast)
        self.seconds = self._agree_on_seconds(self.seconds + time.perf_counter() - start)
        self.begun = self.done
        self.average.module.load_state_dict(network.state_dict())
        if not self._agree_to_stop():
            self._untaught = None
            self.save()

    def _step(self) -> Progress:
        lr = learning_rate(self.config, self.done, self.begun)
        for optimiser in self.optimisers:
            optimiser.zero_grad()  # an interrupted step may have left gradients
            for group in optimiser.param_groups:
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
        with uninterrupted():  # a run that is iterated over again goes on between two steps
            for optimiser in self.optimisers:
                optimiser.step()
            self.average.update_parameters(self.accelerator.unwrap_model(self.network))
            self.step += 1
        return Progress(self.step, self.images_seen, mean, lr, norm, 0.0, 0.0, 0.0)

    def _forward_backward(self, micro: int) -> Tensor:
        processes = self.accelerator.num_processes
        number = (self.step * self.config.accumulate + micro) * processes + self.accelerator.process_index
        device = self.accelerator.device
        # a token share below 1 changes during the run, so these batches cannot be drawn ahead
        ahead = device.type == "cuda" and self.config.token_share == 1
        batch = self._draw_ahead(number, processes) if ahead else self._batch(number)
        torch.manual_seed(seed_of(self.config.seed, number, 1))  # the coordinates' jitter, dropout
        grid, supersample = batch.values
        with self.accelerator.autocast():
            output = self.forward(
                batch.x_t.to(device),
                batch.logsnr.to(device),
                batch.condition.to(device),
                grid=grid.to(device),
                frame=batch.frame,
                supersample=supersample,
                part=batch.part,
            )
        error = self.task.loss(batch, *(output if isinstance(output, tuple) else (output, None)))
        self.accelerator.backward(error / self.config.accumulate)
        return error.detach()

    def _batch(self, number: int) -> Batch:
        return self._draw_batch(number) if self._draw_batch else self.task.batch(number, self.token_share)

    def seconds_left(self, speed: float) -> float:
        """Time to the end of the run, estimated from a speed in pictures per second."""
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
        """Mean over the processes, so that all of them decide alike where a decision depends on time."""
        if self.accelerator.num_processes == 1:
            return seconds
        own = torch.tensor(seconds, dtype=torch.float64, device=self.accelerator.device)
        return float(self.accelerator.reduce(own, "mean").item())

    def save(self) -> None:
        """Write a checkpoint, whole or not at all, and delete the oldest. Every process calls it.

        Raises:
            InputError: The folder cannot be written; the older checkpoints stay.
        """
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            write_checkpoint(self.folder, self.images_seen, self.tensors(), self._facts(), self.config.keep)
        self.accelerator.wait_for_everyone()

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint. On a CPU, the rest of the run is bit for bit as without the interruption.

        Raises:
            InputError: The checkpoint is damaged or belongs to another run.
        """
        facts = read_facts(checkpoint)
        check_same(checkpoint, facts, self._facts())
        parts = read_parts(checkpoint)
        fill(self.accelerator.unwrap_model(self.network), parts["network"], checkpoint)
        fill(self.average.module, parts["average"], checkpoint)
        self.average.n_averaged.fill_(facts["step"])
        load_optimisers(self.optimisers, parts["optimiser"])
        self.step, self.seconds = facts["step"], facts["seconds"]
        if self.step or facts.get("taught"):
            self._untaught = None
        self.begun, self.length = facts.get("begun", 0.0), facts.get("length", self.length)

    def _facts(self) -> dict[str, Any]:
        """All that a checkpoint holds beside tensors."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "begun": self.begun,
            "length": self.length,
            "images_per_step": self.images_per_step,
            "taught": self._untaught is None,
            "train": to_dict(self.config),
            "model": network_to_dict(self.model),
            "data": self.pictures.name,
            # classes, attributes and numbers in their order, for each has weights of its own
            "names": [list(names) for names in self.pictures.names],
            "words": list(self.pictures.words),
            "autoencoder": self.pictures.latents.autoencoder if self.pictures.latents else "",
        }

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of a checkpoint: weights, their moving average and the optimisers' state."""
        parts = {
            "network": self.accelerator.unwrap_model(self.network).state_dict(),
            "average": self.average.module.state_dict(),
            "optimiser": optimiser_tensors(self.optimisers),
        }
        return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}

    def _check_start(self, start: S2ID) -> None:
        if start.config.composes and self.model.composes and start.config.channels != self.model.channels:
            raise InputError(
                f"the model to begin with draws {start.config.channels} channels and {self.pictures.name} has "
                f"{self.model.channels}; choose another model, or convert the pictures (--alpha decides about "
                "transparency)."
            )
        if not can_grow(start.config, self.model):
            raise InputError(
                "the model to begin with is another network; give the run the model's own settings (`s2id info` prints "
                "them)."
            )
