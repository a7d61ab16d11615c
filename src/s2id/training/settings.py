"""Settings of training, of a teacher and of a named run."""

from dataclasses import dataclass, field
from typing import Literal

from s2id.errors import InputError
from s2id.network.settings import ModelConfig, NetworkConfig, Recompute
from s2id.sampling.settings import DEFAULT_STEPS, Sampling
from s2id.settings import at_least_1


@dataclass(frozen=True)
class Pixelation:
    """How poorly training sees pictures."""

    kind: Literal["area", "bicubic"]
    cell: int
    """Pixels of the picture per side of an observed one."""
    still: bool = False
    """Every picture from one place."""
    scale: int = 0
    """Cells are up to so many pixels smaller or larger, anew in each view: the camera's distance."""
    blur: float = 0.0
    """Most std of the blur, in pixels, before cells take their means: each view has none, half or all of it."""

    @classmethod
    def read(cls, text: str) -> "Pixelation":
        """From "area:K", with ":still" or ":scale=S" and ":blur=B" behind it if wanted, or "bicubic:K".

        Raises:
            InputError: It is nothing of the kind.
        """
        kind, _, rest = text.partition(":")
        digits, *more = rest.split(":")
        still = more == ["still"]
        try:
            given = {} if still else dict(word.split("=") for word in more)
            scale, blur = int(given.pop("scale", 0)), float(given.pop("blur", 0))
            known = not given and digits.isascii() and digits.isdigit()
        except ValueError:
            known = False
        if not known or kind not in ("area", "bicubic") or kind == "bicubic" and more:
            raise InputError(
                f"observe {text!r} is not understood; write area:K, area:K:still, area:K:scale=S:blur=B or bicubic:K "
                "with K pixels a side, as in area:4."
            )
        cell = int(digits)
        if cell < 2:
            raise InputError(f"observe {text!r} pixelates nothing; K must be at least 2.")
        if not 0 <= scale <= cell - 2:
            raise InputError(f"observe {text!r} has cells of {cell - scale} pixels; S must be 0 to {cell - 2}.")
        if not 0 <= blur <= cell:
            raise InputError(f"observe {text!r} has a blur of {blur:g}; B must lie between 0 and {cell}, in pixels.")
        return cls("area" if kind == "area" else "bicubic", cell, still, scale, blur)

    @property
    def lenses(self) -> tuple[tuple[int, float], ...]:
        """Cell and blur of every kind of view."""
        cells = range(self.cell - self.scale, self.cell + self.scale + 1)
        blurs = (0.0, self.blur / 2, self.blur) if self.blur else (0.0,)
        return tuple((cell, blur) for cell in cells for blur in blurs)


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained."""

    images: int = 600_000
    """Images to draw, over all processes."""
    minutes: float | None = None
    """Bound the run by time instead, with the learning rate's schedule fitted to it."""
    batch: int = 32
    """Images per process and forward pass."""
    accumulate: int = 1
    """Forward passes per optimiser step."""
    optimiser: Literal["adamw", "muon"] = "muon"
    """What moves the blocks' matrices; all else is AdamW's."""
    lr: float = 4e-3
    """Peak learning rate; 4e-3 suits muon, about a quarter of it adamw."""
    final_lr: float = 1e-5
    """Learning rate at the end of the cosine."""
    warmup: float = 0.02
    """Share of the run over which the learning rate rises."""
    weight_decay: float = 0.01
    """Decoupled decay of matrices; vectors and embeddings have none."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    ema: float = 0.9995
    """Decay of the weights' moving average per step, reached by a warm-up."""
    drop_label: float = 0.1
    """Share of images trained without any condition."""
    drop_each: float = 0.5
    """Mean share of an image's labels trained as unknown where there are attributes, numbers or text: every image draws
    its own, evenly between 0 and twice this, so at 0.5 all numbers of known labels are alike frequent."""
    long_side: int | None = None
    """Shrink the pictures of a folder to at most so many pixels a side when they are read; none is enlarged. Emoji are
    drawn at so many, or at 32."""
    workers: int = 2
    """Processes that read the pictures of a folder, or of the Hub, for the first time; 0 reads in this one."""
    both_conditions: bool = False
    """Train every image with its label and without it, in one step with one encoder pass, as published."""
    observe: str | None = None
    """See the pictures only as observations: "area:K", means over cells K pixels wide, from places that are drawn anew
    each time; "area:K:still", all from one place; "area:K:scale=S:blur=B", through cells of K - S to K + S pixels and a
    blur of up to B pixels; "bicubic:K", enlarged again. States are then observations: that sets the densities and the
    network's patch and lattice."""
    views: int = 4
    """Places from which each picture is observed per draw with "area:K"; more steady the gradient, and no more."""
    recompute: Recompute = "no"
    """Compute the feed-forward layers anew in the backward pass (a tenth more time, half the memory), or whole blocks
    (one forward pass more, and the memory of one block)."""
    densities: tuple[int, ...] = (20, 16, 24)
    """State densities (samples along the long side), one drawn per batch; multiples of the patch. Sampling composes
    on the first."""
    density_weights: tuple[float, ...] = (0.94, 0.03, 0.03)
    """Share of the batches of each density."""
    detail_density: int = 0
    """State density of the last steps of sampling, where noise no longer hides what a coarser state cannot hold; a
    multiple of the patch. 0 stays on `densities`."""
    detail_time: float = 0.25
    """t below which states of `detail_density` are trained, and sampled."""
    detail_share: float = 0.3
    """Share of the batches with states of `detail_density`, where there is one."""
    supersample: tuple[int, ...] = (2, 3, 4)
    """Head samples per target pixel side, one drawn per batch."""
    queries: float = 2.0
    """Head samples per state sample: targets are as many of the picture's pixels as this buys, evenly spread."""
    max_weight: float = 10.0
    """Bound of the loss weight 1 / sigma^2 (v-prediction's) in x-prediction."""
    schedule_shift: float = -1.0
    """Added to the cosine schedule's logsnr: below 0 spends more of training and sampling on composition."""
    token_share: float = 1.0
    """Share of a state's tokens, and of the targets, that a step trains on: a window of the grid, drawn per batch."""
    dense_finish: float = 0.25
    """Share of the run, at its end, that trains on whole states although `token_share` is less."""
    seed: int = 0
    """Seed of everything random in the run."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """Mixed precision; `auto` is bf16 where the processor multiplies it fast."""
    compile: bool = False
    """Compile the network with torch.compile."""
    cpu: bool = False
    """Stay on the CPU although there is an accelerator."""
    checkpoint_minutes: float = 5.0
    """Time between checkpoints."""
    checkpoint_images: int | None = None
    """Images between checkpoints, instead of a time."""
    keep: int = 2
    """Checkpoints kept."""
    sample_minutes: float = 5.0
    """Time between sample grids; 0 draws none."""
    tensorboard: bool = False
    """Write TensorBoard files beside the metrics."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if len(self.densities) != len(self.density_weights):
            raise InputError(
                f"densities has {len(self.densities)} entries and density_weights "
                f"{len(self.density_weights)}; give one weight per density."
            )
        if self.observe is not None:
            Pixelation.read(self.observe)
        at_least_1(self, "images", "batch", "accumulate", "keep", "views", "densities", "supersample")
        for name in ("queries", "clip", *(["minutes"] if self.minutes is not None else [])):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name):g}; it must be above 0.")
        if min(self.density_weights) < 0 or not sum(self.density_weights) > 0:
            raise InputError(f"density_weights is {self.density_weights}; give none below 0 and one above.")
        if self.workers < 0:
            raise InputError(f"workers is {self.workers}; it must be at least 0.")
        if not 0 < self.token_share <= 1:
            raise InputError(f"token_share is {self.token_share:g}; it must be above 0 and at most 1.")
        if self.observe is not None and self.token_share < 1:
            raise InputError("observe looks at whole pictures and token_share at windows of them; use one of the two.")
        shares = ("drop_label", "dense_finish", "detail_time", "detail_share")
        for name, most in (*((share, 1.0) for share in shares), ("drop_each", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name} is {getattr(self, name):g}; it must lie between 0 and {most:g}.")


@dataclass(frozen=True)
class DistillConfig:
    """What of a teacher's trajectories a student is taught."""

    times: tuple[float, ...] = (1.0, 0.5)
    """Times of the student's calls, from 1 down, all of them the teacher's too."""
    pairs: int = 2000
    """Trajectories, each used many times."""
    sampling: Sampling = Sampling(steps=10, guidance=1.0)
    """How the teacher samples; the student has its guidance built in."""

    @property
    def steps(self) -> int:
        """Number of the teacher's solver steps."""
        return self.sampling.steps or DEFAULT_STEPS

    def __post_init__(self) -> None:
        """Refuse what cannot be taught."""
        at_least_1(self, "pairs")
        if self.sampling.eta or self.sampling.restarts or self.sampling.density:
            raise InputError(
                "a teacher samples on its own states and without fresh noise; leave eta, restarts, density."
            )
        falling = all(s < t for t, s in zip(self.times[:-1], self.times[1:], strict=True))
        if len(self.times) < 2 or self.times[0] != 1 or self.times[-1] <= 0 or not falling:
            raise InputError(f"times is {self.times}; give two or more, from 1 down and above 0.")
        if wrong := [t for t in self.times if abs(t * self.steps - round(t * self.steps)) > 1e-6]:
            raise InputError(f"time {wrong[0]:g} is none of the teacher's; choose multiples of 1 / {self.steps}.")


@dataclass(frozen=True)
class Preset:
    """A named run: data, network, training."""

    data: Literal["mnist", "fashion-mnist", "digits", "glyphs", "emoji", "folder", "celeba", "hub"]
    model: NetworkConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
