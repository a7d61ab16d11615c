"""Our network: a state of any size in, a function on the frame out.

    state -> encoder (once per step) -> decoder (once per condition) -> feature lattice -> head -> values anywhere

The encoder and decoder work on tokens; the head interpolates the feature lattice and averages over each pixel's own
cell. Theory: docs/notation.md.
"""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from s2id.condition import Asked, Condition, condition_of
from s2id.coords import Part, extent
from s2id.errors import InputError
from s2id.network.attention import Tokens
from s2id.network.base import Encoded, TwoHalves, checked_part, class_index, place
from s2id.network.blocks import Block, normalise
from s2id.network.canvas import Canvas, stretched
from s2id.network.embeddings import ConditionFilm, ConditionTokens, GuidanceFilm, NoiseEmbedding, PositionEmbedding
from s2id.network.heads import Features, FieldHead, spline_of
from s2id.network.local import LocalEstimate
from s2id.network.settings import BESIDE_CLASSES, ModelConfig
from s2id.shapes import Images, Scalars, per_sample


class Stem(nn.Linear):
    """Tokens of a state, each from its own samples."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.state_channels * config.patch**2, config.width)
        self.patch = config.patch

    def forward(self, state: Images) -> Float[Tensor, "b y x e"]:
        """The tokens."""
        return super().forward(rearrange(state, "b c (h p) (w q) -> b h w (c p q)", p=self.patch, q=self.patch))


class Lattice(nn.Linear):
    """Feature samples, each predicted by the token that covers it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.width, config.lattice**2 * config.head_width)
        self.side = config.lattice

    def forward(self, tokens: Tokens) -> Float[Tensor, "b y x e"]:
        """The samples."""
        return rearrange(super().forward(tokens), "b h w (p q d) -> b (h p) (w q) d", p=self.side, q=self.side)


class OverlappingStem(nn.Conv2d):
    """Tokens of a state, each from its own samples and from those of half of every neighbour."""

    def __init__(self, config: ModelConfig) -> None:
        reach = config.patch // 2
        super().__init__(config.state_channels, config.width, config.patch + 2 * reach, config.patch, reach)

    def forward(self, state: Images) -> Float[Tensor, "b y x e"]:
        """The tokens."""
        return super().forward(state).permute(0, 2, 3, 1)


class OverlappingLattice(nn.ConvTranspose2d):
    """Feature samples, each the sum of what the tokens around it predict."""

    def __init__(self, config: ModelConfig) -> None:
        reach = config.lattice // 2
        super().__init__(config.width, config.head_width, config.lattice + 2 * reach, config.lattice, reach)
        bound = (4 * config.width) ** -0.5  # four tokens add up to a feature
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, tokens: Tokens, output_size: list[int] | None = None) -> Float[Tensor, "b y x e"]:
        """The samples."""
        return super().forward(tokens.permute(0, 3, 1, 2), output_size).permute(0, 2, 3, 1)


class FieldNetwork(TwoHalves):
    """Predicts the clean picture as a function, from which pixels of any grid are read.

    Example:
        >>> from s2id.network.base import state_grid
        >>> network = FieldNetwork(ModelConfig(width=8, heads=2))
        >>> x_t, logsnr = torch.randn(1, 1, 20, 12), torch.zeros(1)
        >>> network(x_t, logsnr, torch.tensor([7])).shape  # at the state's own samples
        torch.Size([1, 1, 20, 12])
        >>> network(x_t, logsnr, torch.tensor([7]), grid=state_grid((30, 18), (1.0, 0.6))).shape  # at others
        torch.Size([1, 1, 30, 18])
    """

    config: ModelConfig
    head: FieldHead

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        if missing := [name for name in ("patch", "lattice") if not getattr(config, name)]:
            raise InputError(
                f"{missing[0]} is 0, which training chooses by the data; give a number to build a network."
            )
        self.block = Block
        self.config = config
        width, patch = config.width, config.patch
        self.stem = (OverlappingStem if config.overlap else Stem)(config)
        self.position = PositionEmbedding(width)
        self.noise = NoiseEmbedding(config.film_width)
        self.condition = nn.Embedding(config.classes + 1, config.condition_tokens * width)
        self.asked = ConditionTokens(config) if any(getattr(config, name) for name in BESIDE_CLASSES) else None
        self.condition_film = ConditionFilm(config) if config.condition_film else None
        self.canvas = Canvas(config) if config.canvas else None
        self.canvas_stem = (OverlappingStem if config.overlap else Stem)(config) if config.canvas else None
        self.guidance_film = GuidanceFilm(config) if config.guided else None
        self.encoder = nn.ModuleList(Block(config, cross=False) for _ in range(config.encoder_blocks))
        self.decoder = nn.ModuleList(Block(config, cross=True) for _ in range(config.decoder_blocks))
        self.lattice = (OverlappingLattice if config.overlap else Lattice)(config)
        self.local = LocalEstimate(config) if config.local_blocks else None
        self.head = FieldHead(config.head_width + (2 * config.channels if config.local_blocks else 0), config.channels)
        if self.local is not None:
            self.head.begin_with_differences()
        self.state = nn.Linear(width, config.latents * patch**2) if config.latents else None

    def encode(
        self, x_t: Images, logsnr: Scalars, frame: tuple[float, float] | None = None, part: Part | None = None
    ) -> Encoded:
        """The encoder's output, which no condition enters; arguments and errors as for `TwoHalves.encode`."""
        patch = self.config.patch
        size, (rows, columns) = checked_part(x_t, self.config, part)
        tokens = self.stem(x_t[:, :, rows, columns])
        # positions and density are those of the whole state, so that a part's tokens know where they are
        position = self.position((size[0] // patch, size[1] // patch))
        covered = (slice(rows.start // patch, rows.stop // patch), slice(columns.start // patch, columns.stop // patch))
        tokens = tokens + position[covered]
        film = self.noise(logsnr.to(x_t), 1 / max(size))
        for block in self.encoder:
            tokens = block(tokens, film)
        state = (x_t[:, :, rows, columns], logsnr.to(x_t)) if self.local is not None else None
        return Encoded(tokens, film, *place(size, frame or extent(size), part), size, covered, state)

    def decode(self, encoded: Encoded, label: Asked | None = None) -> Features:
        """The predicted function under a condition; arguments and errors as for `TwoHalves.decode`."""
        tokens, film = encoded.tokens, encoded.film
        asked = condition_of(label, len(tokens), tokens.device)
        condition, known = self.condition_tokens(asked)
        if self.condition_film is not None:
            film = film + self.condition_film(condition, known)
        if asked.guidance is not None:
            film = film + self._guidance_film(asked.guidance, encoded.film)
        canvas = None
        if self.canvas is not None:
            canvas = stretched(self.canvas(self.canvas_code(asked)), encoded.size)
            tokens = tokens + self._canvas_tokens(canvas, encoded)
        for block in self.decoder:
            tokens = block(tokens, film, condition, known)
        tokens = normalise(tokens)
        values, patch, state = self.lattice(tokens), self.config.patch, None
        if self.state is not None:
            state = rearrange(self.state(tokens), "b h w (c p q) -> b c (h p) (w q)", p=patch, q=patch)
        if self.local is not None:
            assert encoded.state is not None and canvas is not None
            rows, columns = (slice(patch * part.start, patch * part.stop) for part in encoded.covered)
            x_t, logsnr = encoded.state
            values, state = self.local(values, x_t, canvas[:, :, rows, columns], logsnr, film)
            mean = spline_of(state, (values.shape[1], values.shape[2]))
            values = torch.cat([values, mean, -mean], dim=-1)
        return Features(values, encoded.frame, encoded.middle, state)

    def _canvas_tokens(self, canvas: Float[Tensor, "b c y x"], encoded: Encoded) -> Tokens:
        """What the tokens see of the picture that the condition alone lets expect."""
        assert self.canvas_stem is not None
        return self.canvas_stem(canvas)[:, *encoded.covered]

    def canvas_code(self, asked: Condition) -> Float[Tensor, "b d"]:
        """The vector that the canvas of a condition is made from, on the way to that of another where one is given."""
        assert self.canvas is not None
        code = self.canvas.code(class_index(asked.label, self.config.classes), asked)
        if asked.toward is None or asked.share is None:
            return code
        return code.lerp(self.canvas_code(asked.toward), per_sample(asked.share.to(code), code))

    def _guidance_film(self, guidance: Float[Tensor, " b"], film: Float[Tensor, "b f"]) -> Float[Tensor, "b f"]:
        if self.guidance_film is None:
            raise InputError("the condition has a weight of guidance, and this network takes none; leave it out.")
        return self.guidance_film(guidance, film)

    def condition_tokens(self, asked: Condition) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"] | None]:
        """Tokens of a condition, and which of them are known; `None` where all are.

        Raises:
            InputError: The network has not such a class or word, or not as many attributes, numbers or channels of
                text.
        """
        if asked.toward is not None and asked.share is not None:
            start, known = self.condition_tokens(replace(asked, toward=None))
            return start.lerp(self.condition_tokens(asked.toward)[0], per_sample(asked.share.to(start), start)), known
        for name, part, wanted in (
            ("attributes", asked.attributes, self.config.attributes),
            ("numbers", asked.numbers, self.config.numbers),
            ("channels per text token", asked.tokens, self.config.token_width),
        ):
            if part is not None and part.shape[-1] != wanted:
                raise InputError(
                    f"the condition has {part.shape[-1]} {name} and this model knows {wanted}; make it with s2id.ask."
                )
        if asked.words is not None and asked.words.numel() and (last := int(asked.words.max())) >= self.config.words:
            raise InputError(
                f"the condition has word {last} and this model knows {self.config.words} words; make it with s2id.ask."
            )
        return self.embedded(class_index(asked.label, self.config.classes), asked)

    def embedded(self, index: Int[Tensor, " b"], asked: Condition) -> tuple[Tensor, Bool[Tensor, "b n"] | None]:
        """Tokens of a condition and which of them are known, without a look at whether the network has such labels.

        Args:
            index: Class of each picture, from 0; the number of classes where it is unknown.
            asked: All other labels.
        """
        condition = rearrange(self.condition(index), "b (n d) -> b n d", n=self.config.condition_tokens)
        if self.asked is None:
            return condition, None
        tokens, known = self.asked(asked)
        always = torch.ones(condition.shape[:2], dtype=torch.bool, device=condition.device)
        return torch.cat([condition, *tokens], dim=1), torch.cat([always, *known], dim=1)
