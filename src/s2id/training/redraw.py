"""Pictures that classes lack of a concept, redrawn from those that other classes have of it, for a canvas to learn.

A concept is what a caption says. Asked for a concept in a class that never drew it, a canvas knows labels alone, and
mixes all that shares one. But what a class does to shapes and colours is a function from pictures to pictures, and each
concept that it and other classes draw is an example of it. So a network learns to draw every picture again from those
of its concept in the other classes. Then it draws those that are missing, and the canvas learns them beside the true
ones.

Where the other classes disagree, the mean of all possible pictures would be a blur. So each is drawn from one of the
given pictures, whose layout it keeps, with the others in view; squares of it that look otherwise in the true picture
hardly count (Welsch's loss, see Barron 2019, arXiv 1701.03077); and in the second half a critic, which knows the
pictures of each class, tells drawn ones from true ones (Isola et al. 2017, arXiv 1611.07004; its judgement of the
class is the projection of Miyato and Koyama 2018, arXiv 1802.05637).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from s2id.data.pictures import Group, joined
from s2id.data.split import SEEN
from s2id.media.images import to_bytes, to_float
from s2id.seeds import seed_of
from s2id.shapes import NULL, Images
from s2id.training.course import course
from s2id.training.optimisers import learning_rate, take_step
from s2id.training.settings import TrainConfig

_BATCH = 64

_WIDTH, _FILM, _SCALES = 32, 64, 4
"""Channels of the finest scale, channels of the vector of both classes, and number of scales at most."""

_CLIP = 1.0
"""Norm that gradients are shortened to."""

_COARSEST = 4
"""Samples along each side of the coarsest scale, at least."""

_COURSE = TrainConfig(lr=1.5e-3, final_lr=0.0, warmup=0.03)
"""Settings of the learning rate, which rises and falls as a run's does."""

_CRITIC_FROM, _CRITIC_RISES = 0.5, 0.1
"""Shares of the course after which the critic is heard, and over which it comes to its full weight."""

_CRITIC_WEIGHT, _CRITIC_LR = 0.02, 4e-4
"""Weight of the critic's judgement beside the difference from the truth, and its own learning rate."""

_UNLIKE = 0.3, 0.05
"""Mean squared difference of a square, in units of [-1, 1], at which it begins not to count: at first, and from the
middle of the course on."""

_SQUARED = 0.02
"""Weight of the plain squared error, which pulls squares towards the truth that are too unlike to count otherwise."""

_SHARES = 0.4, 1.2
"""Least and most of the share, drawn for each picture, of the other classes that are shown; above 1 is all."""

_SHIFT = 16
"""A side over this is how far pictures are shifted at most."""

_EMA_FIRST, _EMA, _EARLY = 0.98, 0.998, 1000
"""Decay of the moving average, in so many first steps and then."""


@dataclass(frozen=True)
class Concepts:
    """The pictures of a data set by concept and class, as small as a canvas."""

    images: UInt8[Tensor, "n c side side"]
    rows: Int[Tensor, "m k"]
    """The picture of each concept in each class; NULL (-1) where there is none."""

    @classmethod
    def of(cls, pictures: Group, classes: int) -> "Concepts":
        """The concepts that at least `SEEN` of so many classes have, by captions that are the same."""
        known: dict[str, dict[int, int]] = {}
        for row, (text, label) in enumerate(zip(pictures.captions, pictures.labels.tolist(), strict=True)):
            if text and label != NULL:
                known.setdefault(text, {}).setdefault(label, row)
        shared = [rows for rows in known.values() if len(rows) >= SEEN]
        table = torch.full((len(shared), classes), NULL)
        for own, rows in zip(table, shared, strict=True):
            own[list(rows)] = torch.tensor(list(rows.values()))
        return cls(pictures.images, table)

    def missing(self) -> Int[Tensor, "q 2"]:
        """Concept and class of each picture that there is not."""
        return (self.rows == NULL).nonzero()

    def but(self, pairs: Int[Tensor, "b 2"]) -> Int[Tensor, "b k"]:
        """The pictures of some concepts in all classes but one."""
        rows = self.rows[pairs[:, 0]]
        return rows.scatter(1, pairs[:, 1:], NULL)

    def shown(self, rows: Int[Tensor, "b k"]) -> Float[Tensor, "b k c side side"]:
        """Pictures, and nothing where there is none."""
        return to_float(self.images[rows.clamp(min=0)]) * (rows != NULL)[..., None, None, None]


class Redrawer(nn.Module):
    """Draws a concept in one class from its picture in another, which it changes, with all others in view.

    It is a U-Net (Ronneberger et al. 2015, arXiv 1505.04597), whose blocks are told both classes.
    """

    def __init__(self, channels: int, classes: int, side: int) -> None:
        super().__init__()
        widths = [_WIDTH * min(2**scale, 4) for scale in range(_scales(side))]
        self.source, self.target = nn.Embedding(classes, _FILM), nn.Embedding(classes, _FILM)
        self.stem = nn.Conv2d(classes * (channels + 1) + channels + 2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(_Blocks(width, min(i + 1, 2)) for i, width in enumerate(widths))
        self.coarser = nn.ModuleList(nn.Conv2d(a, b, 2, 2) for a, b in zip(widths, widths[1:], strict=False))
        self.finer = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in zip(widths, widths[1:], strict=False))
        self.up = nn.ModuleList(_Blocks(width, 1) for width in widths[:-1])
        self.out = nn.Conv2d(widths[0], channels, 3, padding=1)
        for zero in self.out.parameters():
            nn.init.zeros_(zero)

    def forward(
        self,
        shown: Float[Tensor, "b k c y x"],
        there: Bool[Tensor, "b k"],
        source: Int[Tensor, " b"],
        target: Int[Tensor, " b"],
    ) -> Images:
        """The pictures in another class.

        Args:
            shown: Pictures of a concept in every class; zero where one is missing or not to be seen.
            there: Which of them there are.
            source: Class of the picture that is changed.
            target: Class that it is drawn in.
        """
        changed = shown[torch.arange(len(shown), device=shown.device), source]
        which = there.to(shown)[..., None, None, None].expand(-1, -1, 1, *shown.shape[3:])
        film = F.silu(self.source(source) + self.target(target))
        seen = torch.cat([torch.cat([shown, which], 2).flatten(1, 2), changed, _places(changed)], dim=1)
        x, kept = self.down[0](self.stem(seen), film), []
        for coarser, blocks in zip(self.coarser, self.down[1:], strict=True):
            kept.append(x)
            x = blocks(coarser(x), film)
        for finer, blocks in zip(reversed(self.finer), reversed(self.up), strict=True):
            x = blocks(kept.pop() + finer(x), film)
        return changed + self.out(F.silu(x))


class Critic(nn.Module):
    """Says of every part of a picture how much it looks like a true picture of a class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 2 * _WIDTH
        for a, b, kernel, stride in (
            (channels, width, 3, 1), (width, width, 4, 2), (width, 2 * width, 3, 1), (2 * width, 2 * width, 4, 2),
            (2 * width, 4 * width, 3, 1),
        ):  # fmt: skip
            layers += [spectral_norm(nn.Conv2d(a, b, kernel, stride, padding=1)), nn.LeakyReLU(0.2)]
        self.features = nn.Sequential(*layers)
        self.true = spectral_norm(nn.Conv2d(4 * width, 1, 1))
        self.classes = spectral_norm(nn.Embedding(classes, 4 * width))

    def forward(self, images: Images, label: Int[Tensor, " b"]) -> Float[Tensor, "b 1 y x"]:
        """The judgement of every part: the higher, the truer."""
        features = self.features(images)
        own = (features * self.classes(label)[..., None, None]).sum(1, keepdim=True)
        return self.true(features) + own


@dataclass(frozen=True)
class Redrawn:
    """Pictures that classes lacked, redrawn."""

    images: UInt8[Tensor, "q c side side"]
    labels: Int[Tensor, " q"]
    """Class of each."""
    sources: Int[Tensor, " q"]
    """Picture that each was drawn from, whose other labels and caption it has."""

    def beside(self, pictures: Group) -> Group:
        """The pictures that there were, and these."""
        known = pictures.condition(self.sources)
        texts = tuple(pictures.captions[row] for row in self.sources.tolist())
        own = Group(self.images, self.labels, known.attributes, known.numbers, known.tokens, texts, known.words)
        return joined([pictures, own])


def redraw_missing(
    pictures: Group,
    classes: int,
    config: TrainConfig,
    stopped: Callable[[], bool] = bool,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    device: torch.device | None = None,
) -> Redrawn | None:
    """Concepts that some classes have, redrawn for the classes that lack them.

    Args:
        pictures: Square pictures, as small as a canvas, whose captions name concepts.
        classes: Number of classes.
        config: Settings of the run, of which `redraw_steps` says how long redrawing is learned.
        stopped: Is asked before each step; where it says yes, nothing is drawn.
        autocast: Context of the run's precision.
        device: Where to compute.

    Returns:
        What was drawn; `None` without captions, where no class lacks a concept, and where no steps are to be taken.
    """
    if not config.redraw_steps or pictures.images.shape[2] < _COARSEST:
        return None
    concepts = Concepts.of(pictures, classes)
    missing = concepts.missing()
    if not len(missing):
        return None
    network = teach_redrawer(concepts, config, stopped, autocast, device)
    if stopped():
        return None
    drawn, sources = redrawn(network, concepts, missing, autocast)
    return Redrawn(to_bytes(drawn), missing[:, 1], sources)


def teach_redrawer(
    concepts: Concepts,
    config: TrainConfig,
    stopped: Callable[[], bool] = bool,
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
    device: torch.device | None = None,
) -> Redrawer:
    """A network that has learned to draw every picture again from those of its concept in other classes.

    Args:
        concepts: The pictures. At least one is missing, and each concept has two, so there is something to learn from.
        config: Settings of the run: its seed, its length and `redraw_steps`.
        stopped: Is asked before each step; where it says yes, the network is left half taught.
        autocast: Context of the run's precision.
        device: Where to compute.
    """
    torch.manual_seed(seed_of(config.seed, 0, 3))  # weights, and all that is drawn at random
    channels, classes = concepts.images.shape[1], concepts.rows.shape[1]
    network = Redrawer(channels, classes, concepts.images.shape[2]).to(device)
    average = deepcopy(network).requires_grad_(False)
    critic = Critic(channels, classes).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=0.02)
    # no momentum: what it judges changes with every step (Miyato et al. 2018, arXiv 1802.05957)
    opponent = torch.optim.AdamW(critic.parameters(), betas=(0.0, 0.99), weight_decay=0.0)
    pairs = (concepts.rows != NULL).nonzero()
    for step, done in enumerate(course(config.redraw_steps, config, stopped, "redrawing")):
        chosen = pairs[torch.randint(len(pairs), (_BATCH,))]
        target = chosen[:, 1].to(device)
        rows = _some(concepts.but(chosen))
        truth = to_float(concepts.images[concepts.rows[chosen[:, 0], chosen[:, 1]]])
        shown, truth = (x.to(device) for x in _moved(concepts.shown(rows), truth))
        there = (rows != NULL).to(device)
        with autocast():
            drawn = network(shown, there, there.float().multinomial(1)[:, 0], target).float()
        loss = unlike(drawn, truth, max(_UNLIKE[1], _UNLIKE[0] - 2 * done * (_UNLIKE[0] - _UNLIKE[1])))
        loss = loss + _SQUARED * F.mse_loss(drawn, truth)
        if done >= _CRITIC_FROM:
            weight = _CRITIC_WEIGHT * min(1.0, (done - _CRITIC_FROM) / _CRITIC_RISES)
            with autocast():
                judged = critic(drawn, target)
            loss = loss - weight * judged.float().mean()
        take_step(optimiser, loss, network, _CLIP, learning_rate(_COURSE, done))
        if done >= _CRITIC_FROM:
            with autocast():  # true pictures are mirrored and shifted as drawn ones are, which would tell them apart
                scores = critic(truth, target), critic(drawn.detach(), target)
            contest = F.relu(1 - scores[0].float()).mean() + F.relu(1 + scores[1].float()).mean()
            take_step(opponent, contest, critic, _CLIP, _CRITIC_LR)
        kept = _EMA_FIRST if step < _EARLY else _EMA
        torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - kept)
    return average.eval()


@torch.inference_mode()
def redrawn(
    network: Redrawer,
    concepts: Concepts,
    pairs: Int[Tensor, "q 2"],
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Float[Tensor, "q c side side"], Int[Tensor, " q"]]:
    """Pictures of concepts in classes, and the picture that each was drawn from.

    Each is drawn from every picture of its concept in another class; the drawing that the others are nearest to is
    taken, for what several of them say is likelier than what one does.

    Args:
        network: The network.
        concepts: The pictures.
        pairs: Concept and class of each. Where such a picture is known, it is not looked at.
        autocast: Context of the precision.
    """
    device, classes = network.out.weight.device, concepts.rows.shape[1]
    drawn, sources = [], []
    for some in pairs.split(_BATCH):
        rows, target = concepts.but(some), some[:, 1].to(device)
        shown, there = concepts.shown(rows).to(device), (rows != NULL).to(device)
        with autocast():
            each = [network(shown, there, torch.full_like(target, source), target).float() for source in range(classes)]
        options = torch.stack(each, 1).clamp(-1, 1)
        apart = (options[:, :, None] - options[:, None]).square().mean((3, 4, 5))
        far = (apart * there[:, None]).sum(2).masked_fill(~there, torch.inf)
        best = far.argmin(1)
        drawn.append(options[torch.arange(len(some), device=device), best].cpu())
        sources.append(rows.gather(1, best.cpu()[:, None])[:, 0])
    return torch.cat(drawn), torch.cat(sources)


def unlike(drawn: Images, truth: Images, scale: float) -> Float[Tensor, ""]:
    """Welsch's loss of the mean squared differences of overlapping squares: little of what is far from the truth.

    It is `2 scale (1 - exp(-d / (2 scale)))` of a difference `d`, which is `d` where it is small and no more than
    twice the scale.

    Args:
        drawn: Drawn pictures.
        truth: True ones.
        scale: Difference at which a square begins not to count.
    """
    side = max(1, drawn.shape[2] // 4)
    apart = F.avg_pool2d((drawn - truth).square().mean(1, keepdim=True), side, max(1, side // 2))
    return 2 * scale * (1 - torch.exp(-apart / (2 * scale))).mean()


class _Blocks(nn.Module):
    """Pairs of 3x3 convolutions beside skip connections, told by a vector."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2 * count))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2 * count))
        self.films = nn.ModuleList(nn.Linear(_FILM, 2 * width) for _ in range(count))
        for layer in (*self.films, *self.convs[1::2]):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Images, film: Float[Tensor, "b f"]) -> Images:
        for i, told in enumerate(self.films):
            scale, shift = told(film)[..., None, None].chunk(2, 1)
            hidden = self.convs[2 * i](F.silu(self.norms[2 * i](x)))
            hidden = F.silu(self.norms[2 * i + 1](hidden) * (1 + scale) + shift)
            x = x + self.convs[2 * i + 1](hidden)
        return x


def _scales(side: int) -> int:
    """Number of scales, each half as dense as the one before."""
    count = 1
    while count < _SCALES and side % 2**count == 0 and side // 2**count >= _COARSEST:
        count += 1
    return count


def _places(images: Images) -> Float[Tensor, "b 2 y x"]:
    """Row and column of every sample, from -1 to 1."""
    axes = (torch.linspace(-1, 1, side, device=images.device) for side in images.shape[2:])
    return torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(len(images), -1, -1, -1)


def _some(rows: Int[Tensor, "b k"]) -> Int[Tensor, "b k"]:
    """The same pictures without a random share of them; at least one stays."""
    there = rows != NULL
    share = _SHARES[0] + (_SHARES[1] - _SHARES[0]) * torch.rand(len(rows), 1)
    kept = (torch.rand(rows.shape) < share) & there
    kept = torch.where(kept.any(1, keepdim=True), kept, there)
    return rows.masked_fill(~kept, NULL)


def _moved(shown: Float[Tensor, "b k c y x"], truth: Images) -> tuple[Float[Tensor, "b k c y x"], Images]:
    """Pictures of concepts and their truth, alike: half of them mirrored, and all shifted."""
    whole = torch.cat([shown, truth[:, None]], 1)
    mirrored = torch.rand(len(whole)) < 0.5
    whole = torch.where(mirrored[:, None, None, None, None], whole.flip(-1), whole)
    reach = whole.shape[-1] // _SHIFT
    row, column = torch.randint(2 * reach + 1, (2,)).tolist()
    around = F.pad(whole.flatten(1, 2), (reach,) * 4, mode="replicate")
    height, width = whole.shape[3:]
    whole = around[:, :, row : row + height, column : column + width].unflatten(1, whole.shape[1:3])
    return whole[:, :-1], whole[:, -1]
