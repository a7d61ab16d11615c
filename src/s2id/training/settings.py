"""Settings of training, of distillation and of a named run. Nothing here imports torch."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from s2id.checks import Positive, Share, Within, check
from s2id.errors import InputError
from s2id.network.settings import ModelConfig, NetworkConfig, Recompute
from s2id.sampling.settings import DEFAULT_STEPS, Density, Sampling, Smoothing, Temperature
from s2id.settings import Alpha, check_alpha, setting

SMALLEST = 2
"""Samples along a side of a token where the data decide and nothing asks for more."""

Count = Annotated[int, Within(1, 10**12)]
Time = Annotated[float, Within(0)]
Decay = Annotated[float, Within(0, 1, open_high=True)]
Seed = Annotated[int, Within(0, 2**63, open_high=True)]
Samples = Annotated[int, Within(1, 64)]

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute. "auto" is a CUDA GPU if there is one, else the CPU."""

Precision = Literal["auto", "no", "bf16"]
"""Mixed precision. "auto" is bf16 if the processor has instructions for bf16 products, else fp32."""


@dataclass(frozen=True)
class Pixelation:
    """The operator through which training sees every picture, read from a text such as "area:4".

    Example:
        >>> Pixelation.read("area:4:scale=1").lenses
        ((3, 0.0), (4, 0.0), (5, 0.0))
    """

    kind: Literal["area", "bicubic"]
    """"area": means over cells, from places drawn anew each time. "bicubic": shrunk and enlarged again."""
    cell: int
    """Side of a cell, in pixels of the picture."""
    still: bool = False
    """Whether every view is taken from the same place."""
    scale: int = 0
    """Largest difference of a view's cell from `cell`, in pixels; drawn anew for each view."""
    blur: float = 0.0
    """Largest standard deviation of the Gaussian blur before the means, in pixels. A view has none, half or all."""

    @classmethod
    def read(cls, text: str) -> "Pixelation":
        """The pixelation that a text describes.

        Args:
            text: "area:K", "area:K:still", "area:K:scale=S:blur=B" (either may be missing) or "bicubic:K".

        Raises:
            InputError: The text is of another form, or a number is out of range.
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
                f"pixelate {text!r} is not understood; write area:K, area:K:still, area:K:scale=S:blur=B or bicubic:K "
                "with cells of K pixels a side, as in area:4."
            )
        cell = int(digits)
        if cell < 2:
            raise InputError(f"pixelate {text!r} leaves pictures as they are; K must be at least 2.")
        if not 0 <= scale <= cell - 2:
            raise InputError(f"pixelate {text!r} has cells of {cell - scale} pixels; S must be 0 to {cell - 2}.")
        if not 0 <= blur <= cell:
            raise InputError(f"pixelate {text!r} has a blur of {blur:g}; B must lie between 0 and {cell}, in pixels.")
        return cls("area" if kind == "area" else "bicubic", cell, still, scale, blur)

    @property
    def lenses(self) -> tuple[tuple[int, float], ...]:
        """Side of the cell and blur of every kind of view, in pixels."""
        cells = range(self.cell - self.scale, self.cell + self.scale + 1)
        blurs = (0.0, self.blur / 2, self.blur) if self.blur else (0.0,)
        return tuple((cell, blur) for cell in cells for blur in blurs)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run.

    Example:
        >>> TrainConfig(minutes=10.0, batch=64).lr
        0.004
    """

    images: Count = 600_000
    """Length of the run: number of training pictures drawn, repetitions counted, over all processes."""
    minutes: Positive | None = None
    """Length of the run as a time instead; the schedule of the learning rate is fitted to it."""
    batch: Annotated[int, Within(1, 2**20)] = 32
    """Pictures per forward pass and process."""
    lr: Positive = 4e-3
    """Peak learning rate. 4e-3 suits the optimiser "muon", 1e-3 suits "adamw"."""
    densities: tuple[Density, ...] = ()
    """Numbers of samples along a state's long side, one drawn per batch; each a multiple of the network's patch.
    Sampling composes on the first. Empty: one sample per pixel of the pictures, up to 32."""
    long_side: Density | None = None
    """Shrink pictures of a folder or of the Hub to at most this many pixels along their long side; smaller ones stay as
    they are. SVG files are drawn with this many. `None` leaves pictures as they are, and draws SVG files with 64."""
    alpha: Alpha | None = None
    """Transparency of a folder's or the Hub's pictures: "keep" trains grey + alpha or RGBA; "white", "black", "checker"
    or "#rrggbb" is the ground that they are laid over. `None` keeps it if more than one picture in a hundred has any,
    and else lays it over white."""
    pixelate: str | None = None
    """Train on pixelated views and learn the sharp pictures from them. "area:K": means over cells of K x K pixels, from
    places drawn anew each time. "area:K:still": all views from one place. "area:K:scale=S:blur=B": cells of K - S to
    K + S pixels, after a blur of up to B pixels. "bicubic:K": shrunk and enlarged again. This sets the densities and
    the network's patch and lattice. `None` trains on the pictures as they are."""
    seed: Seed = 0
    """Seed of everything random in the run."""
    device: Device = "auto"
    """Where to compute. "auto" is a CUDA GPU if there is one, else the CPU."""
    precision: Precision = "auto"
    """Mixed precision. "auto" is bf16 if the processor has instructions for bf16 products, else fp32 ("no")."""

    accumulate: Annotated[int, Within(1, 2**20)] = setting(1, "optimiser")
    """Forward passes per optimiser step."""
    optimiser: Literal["adamw", "muon"] = setting("muon", "optimiser")
    """Optimiser of the matrices in the network's blocks. All other weights are AdamW's."""
    final_lr: Annotated[float, Within(0)] = setting(1e-5, "optimiser")
    """Learning rate at the end of the cosine schedule."""
    warmup: Share = setting(0.02, "optimiser")
    """Share of the run over which the learning rate rises linearly from 0."""
    weight_decay: Annotated[float, Within(0)] = setting(0.01, "optimiser")
    """Decoupled weight decay of matrices; vectors and embeddings have none."""
    clip: Positive = setting(1.0, "optimiser")
    """Largest norm of the gradient; a longer one is scaled down to it."""
    ema: Decay = setting(0.9995, "optimiser")
    """Decay per step of the moving average of the weights, which is the model that a run ends with. The decay starts
    lower and rises to this."""
    recompute: Recompute = setting("no", "optimiser")
    """Activations to compute a second time in the backward pass instead of keeping them. "feed_forward": hidden layers;
    a tenth more time, half the memory. "blocks": whole blocks; one forward pass more, the memory of one block."""
    compile: bool = setting(False, "optimiser")
    """Compile the network with torch.compile."""

    density_weights: tuple[Annotated[float, Within(0)], ...] = setting((), "states")
    """Share of the batches that each of `densities` has. Empty: all have the same."""
    detail_density: Annotated[int, Within(0, 2**13)] = setting(0, "states")
    """Samples along the long side of the finer state on which sampling ends, where little noise is left; a multiple of
    the network's patch. 0 ends on the first of `densities`."""
    detail_time: Share = setting(0.25, "states")
    """Time t below which states of `detail_density` are trained and sampled, from 0 (clean) to 1 (noise)."""
    detail_share: Share = setting(0.3, "states")
    """Share of the batches that have states of `detail_density`, where it is not 0."""
    supersample: tuple[Samples, ...] = setting((2, 3, 4), "states")
    """Values of the field per side of a target pixel, whose mean is the prediction for the pixel; one drawn per
    batch."""
    queries: Annotated[float, Within(0, 1000, open_low=True)] = setting(2.0, "states")
    """Values of the field per sample of the state. Of the picture's pixels, evenly spread, as many are targets as this
    number of values covers."""
    max_weight: Positive = setting(10.0, "states")
    """Upper bound of the loss weight 1 / sigma^2 of x-prediction, with which it equals v-prediction."""
    temperature: Temperature = setting(1.0, "states")
    """Factor of all noise that the trained model draws with, where it is asked for no other: less than 1 gives smoother
    pictures that differ less from seed to seed."""
    smoothing: Smoothing = setting(0.0, "states")
    """Differences of colour, of values in [-1, 1], that the trained model takes out of composed states before its
    renderer draws them, where it is asked for no others."""
    renderer: str = setting("", "states")
    """Model that enlarges, as "graphics", which the trained one takes with it to draw composed states instead of its
    own head. Empty: it draws as the model that the run begins with does, or with its own head."""
    schedule_shift: Annotated[float, Within(-100, 100)] = setting(-1.0, "states")
    """Constant added to logsnr of the cosine schedule. Below 0, training and sampling spend more time on noisy
    states, where a picture's composition is decided."""
    token_share: Annotated[float, Within(0, 1, open_low=True)] = setting(1.0, "states")
    """Share of a state's tokens, and of the targets, that a step trains on: a window of the grid, drawn per batch."""
    dense_finish: Share = setting(0.25, "states")
    """Share of the run, at its end, that trains on whole states where `token_share` is below 1."""

    canvas_steps: Count | None = setting(None, "optimiser")
    """Steps of 1,024 pictures (of small data as many as there are, but at least 256) that teach a network's canvas
    before the run's own, where it has one that does not know all labels yet. With `canvas_blocks`, the last two fifths
    of them have half as many pictures and teach the correction too, unless the run has fewer than 30 `minutes`. None:
    as many as show each picture 900 times before that, and at least 100. With `minutes`, they end after a fifth of
    these."""
    redraw_steps: Annotated[int, Within(0)] = setting(0, "optimiser")
    """Steps of 64 pictures that teach a network to draw what a caption says in a class that has no such picture, from
    those of other classes, before its canvas is taught: this then learns what is drawn as well. With `minutes`, they
    end after a fifth of these. 0 draws nothing."""
    drop_label: Share = setting(0.1, "data")
    """Share of pictures that are trained without any condition."""
    drop_each: Annotated[float, Within(0, 0.5)] = setting(0.5, "data")
    """Mean share of a picture's labels that are hidden, where there are attributes, numbers, text or words. Each
    picture draws its own share, uniformly from 0 to twice this, so with 0.5 every number of known labels is equally
    frequent. Of the other pictures, a share of `drop_label` loses all words."""
    drop_attributes: Share = setting(0.0, "data")
    """Share of the pictures that lose all attributes, so that words and a class are enough to ask for."""
    word_pictures: Annotated[int, Within(0)] = setting(2, "data")
    """Number of pictures whose captions must have a word, for the word to be learned. 0 learns no words."""
    encoder: str = setting("", "data")
    """Text encoder that reads the captions, instead of words that are learned: "minilm", of the extra `text`. The model
    can then be asked for any text. Empty: words are learned."""
    both_conditions: bool = setting(False, "data")
    """Train every picture with its label and without it, in one step with one pass of the encoder, as published."""
    workers: Annotated[int, Within(0, 256)] = setting(2, "data")
    """Processes that decode the pictures of a folder or of the Hub the first time they are read. 0 decodes in the main
    process."""
    views: Annotated[int, Within(1, 1000)] = setting(4, "data")
    """Views of each picture per batch with `pixelate`. More give a gradient with less noise at a higher cost."""

    finer_share: Share = setting(0.25, "data")
    """Share of the batches that hold finer pictures of another source, where there are any."""
    finer_time: Share = setting(0.1, "data")
    """Time t below which finer pictures are trained, from 0 (clean) to 1 (noise). Low, they say what lies between the
    pixels and not what to compose."""

    checkpoint_minutes: Time = setting(5.0, "files")
    """Minutes between checkpoints."""
    checkpoint_images: Count | None = setting(None, "files")
    """Pictures between checkpoints, instead of a time."""
    keep: Annotated[int, Within(1, 10**6)] = setting(2, "files")
    """Number of checkpoints that are kept, the newest ones."""
    sample_minutes: Time = setting(5.0, "files")
    """Minutes between sheets of samples; 0 draws none."""
    tensorboard: bool = setting(False, "files")
    """Write TensorBoard files beside metrics.jsonl."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check(self)
        check_alpha(self.alpha)
        if self.pixelate is not None:
            Pixelation.read(self.pixelate)
        if not self.supersample:
            raise InputError("supersample is empty; give at least one number.")
        if self.density_weights and len(self.densities) != len(self.density_weights):
            raise InputError(
                f"densities has {len(self.densities)} entries and density_weights "
                f"{len(self.density_weights)}; give one weight per density."
            )
        if self.density_weights and not sum(self.density_weights) > 0:
            raise InputError(f"density_weights is {self.density_weights}; give at least one above 0.")
        if self.pixelate is not None and self.token_share < 1:
            raise InputError("pixelate needs whole pictures and token_share trains on windows; use one of the two.")


@dataclass(frozen=True)
class DistillConfig:
    """Which of a teacher's trajectories, and which calls, a student learns."""

    times: tuple[Share, ...] = (1.0, 0.5)
    """Times of the student's network calls, from 1 (noise) down. Each must be a time of the teacher's steps."""
    pairs: Annotated[int, Within(1, 10**8)] = 2000
    """Number of trajectories that the teacher draws. Each is used many times."""
    sampling: Sampling = Sampling(steps=10, guidance=1.0)
    """How the teacher samples. The student learns the result, so the teacher's guidance is built in."""

    @property
    def steps(self) -> int:
        """Number of the teacher's solver steps."""
        return self.sampling.steps or DEFAULT_STEPS

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check(self)
        if self.sampling.eta or self.sampling.restarts or self.sampling.density:
            raise InputError(
                "a teacher samples on the states it was trained on and without fresh noise; leave eta and restarts 0, "
                "and density unset."
            )
        falling = all(s < t for t, s in zip(self.times[:-1], self.times[1:], strict=True))
        if len(self.times) < 2 or self.times[0] != 1 or self.times[-1] <= 0 or not falling:
            raise InputError(f"times is {self.times}; give two or more, from 1 down and above 0.")
        if wrong := [t for t in self.times if abs(t * self.steps - round(t * self.steps)) > 1e-6]:
            raise InputError(f"time {wrong[0]:g} is between the teacher's steps; choose multiples of 1 / {self.steps}.")


@dataclass(frozen=True)
class StudentConfig:
    """How a student is trained in distillation. What is not here follows from the teacher."""

    minutes: Positive = 20.0
    """Length of the training."""
    images: Count | None = None
    """Length of the training as a number of states drawn, instead of a time."""
    batch: Annotated[int, Within(1, 2**20)] = 32
    """States per forward pass and process."""
    lr: Positive = 3e-4
    """Peak learning rate."""
    seed: Seed = setting(0, "data")
    """Seed of the trajectories' noise and labels, and of the training."""
    device: Device = "auto"
    """Where the teacher and the student compute. "auto" is a CUDA GPU if there is one, else the CPU."""
    precision: Precision = setting("auto", "optimiser")
    """Mixed precision of the student's training. "auto" is bf16 if the processor has instructions for it, else fp32."""
    optimiser: Literal["adamw", "muon"] = setting("adamw", "optimiser")
    """Optimiser of the matrices in the network's blocks. All other weights are AdamW's."""
    warmup: Share = setting(0.02, "optimiser")
    """Share of the training over which the learning rate rises linearly from 0."""
    ema: Decay = setting(0.99, "optimiser")
    """Decay per step of the moving average of the weights, which is the student that the training ends with."""
    supersample: tuple[Samples, ...] = setting((1,), "states")
    """Values of the field per side of a target pixel in the student's last call; one drawn per batch."""
    queries: Annotated[float, Within(0, 1000, open_low=True)] = setting(8.0, "states")
    """Values of the field per sample of the state in the student's last call; with --guidance-only, where targets are
    finer than the data's pixels."""
    drop_label: Share = setting(0.1, "data")
    """Share of trajectories, or of states, that have no condition."""
    drop_each: Annotated[float, Within(0, 0.5)] = setting(0.5, "data")
    """Mean share of a picture's labels that its trajectory is drawn without, as in `TrainConfig`."""
    drop_attributes: Share = setting(0.0, "data")
    """Share of the trajectories that are drawn without any attribute, as in `TrainConfig`."""
    checkpoint_minutes: Time = setting(5.0, "files")
    """Minutes between checkpoints."""
    sample_minutes: Time = setting(0.0, "files")
    """Minutes between sheets of the student's pictures; 0 draws none."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check(self)

    def training(self, density: int) -> TrainConfig:
        """Settings of the training run.

        Args:
            density: Samples along the long side of the teacher's states.

        Example:
            >>> StudentConfig(lr=1e-3).training(density=20).optimiser
            'adamw'
        """
        own = {name: getattr(self, name) for name in self.__dataclass_fields__}
        length = {"minutes": None} if self.images is not None else {"images": TrainConfig.images}
        # every call predicts x and its error counts alike: no loss weight is above 1
        return replace(
            TrainConfig(densities=(density,), density_weights=(1.0,)),
            **{**own, **length, "weight_decay": 0.0, "max_weight": 1.0},
        )


@dataclass(frozen=True)
class Preset:
    """A named training run.

    Example:
        >>> from dataclasses import replace
        >>> from s2id.training.presets import PRESETS
        >>> replace(PRESETS["tiny"], model=ModelConfig(width=32, heads=2)).data
        'digits'
    """

    data: Literal["mnist", "fashion-mnist", "digits", "glyphs", "vectors", "folder", "celeba", "hub"]
    """Name of the data set."""
    model: NetworkConfig = field(default_factory=ModelConfig)
    """Settings of the network."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Settings of the training."""
