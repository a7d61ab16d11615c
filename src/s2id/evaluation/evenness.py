"""Rows of the table that say how even flat areas and straight strokes are: of samples, reconstructions and truth."""

from collections.abc import Callable, Iterator
from itertools import islice

import torch

from s2id.data.pictures import Group, Pictures
from s2id.evaluation.beading import FINE, Beading, beading, found_beading
from s2id.evaluation.report import Evenness, Row
from s2id.evaluation.ripple import Grids, Ripple, ripple
from s2id.evaluation.samples import Samples
from s2id.inverse.restore import reconstructed
from s2id.media.alpha import over
from s2id.media.images import to_float
from s2id.sampling.states import state_sizes
from s2id.settings import Size
from s2id.shapes import Images

_TIMES = 32  # pixels rendered along the side of a data pixel

_LONGEST = 2048  # side of the largest render, where the data's pictures are large

_MOST = 12  # pictures of each kind

_Renders = Callable[[Size], Iterator[Images]]
"""Some pictures at a size, a batch of one at a time."""


def evenness_rows(samples: Samples, test: Pictures) -> Iterator[Row]:
    """A row for samples, one for reconstructions of held-out pictures, and one for their truth where it is known.

    A model whose state is the picture draws no function, so it has none of the rows. Distilled models and models of
    latents read no pictures.

    Args:
        samples: Samples of the model.
        test: Held-out pictures.
    """
    model, count = samples.model, min(samples.config.detail, len(samples.asked), _MOST)
    if model.config.dense:
        return
    size = model.card.size or test.size
    coarse, fine = state_sizes(model, size, samples.config.sampling.density)

    def drawn(at: Size) -> Iterator[Images]:
        singles = (one for part in samples.at(at) for one in part.split(1))
        return islice(singles, count)

    base = torch.cat(list(drawn(size)))
    yield _row("samples", drawn, base, Grids.of(model, fine or coarse), _strokes(drawn, size))
    group = max(test.groups, key=lambda group: len(group.labels))
    chosen = torch.randperm(len(group.labels), generator=torch.Generator().manual_seed(0))[:count]
    held_out = to_float(group.images[chosen])
    size = held_out.shape[2], held_out.shape[3]
    if not (model.card.times or model.config.latents):
        read = reconstructed(model, held_out)

        def again(at: Size) -> Iterator[Images]:
            return (over(one.render(at, max_pixels=at[0] * at[1]).cpu(), samples.ground) for one in read)

        grids = Grids.of(model, state_sizes(model, size)[0])
        yield _row("reconstructions", again, over(held_out, samples.ground), grids, beading(model, test))
    if group.truth is not None:
        true = _truth(group, chosen.tolist())
        yield _row("truth", true, held_out, None, _strokes(true, size))


def _truth(group: Group, chosen: list[int]) -> _Renders:
    """The true pictures of a group that knows them at any size."""
    truth = group.truth
    assert truth is not None
    return lambda at: (truth(index, at)[None] for index in chosen)


def _strokes(renders: _Renders, size: Size) -> Beading:
    """Variation along the straight strokes that are found in pictures."""
    return found_beading(torch.cat(list(renders((size[0] * FINE, size[1] * FINE)))), size)


def _row(name: str, renders: _Renders, base: Images, grids: Grids | None, strokes: Beading) -> Row:
    """The row of some pictures, whose flat areas are those of `base`."""
    height, width = base.shape[2:]
    times = max(2, min(_TIMES, _LONGEST // max(height, width)))
    pairs = zip(renders((height * times, width * times)), base.split(1), strict=True)
    found = [ripple(render, small, grids) for render, small in pairs]

    def each(value: Callable[[Ripple], torch.Tensor]) -> torch.Tensor:
        values = torch.cat([value(one) for one in found])
        return values[~values.isnan()]

    worst = each(lambda one: one.off_white_worst)
    return Row(
        name,
        evenness=Evenness(
            ripple=each(lambda one: one.rms).mean().item(),
            ripple_token=each(lambda one: one.token).mean().item(),
            ripple_lattice=each(lambda one: one.lattice).mean().item(),
            off_white=each(lambda one: one.off_white).mean().item(),
            off_white_worst=worst.max().item() if len(worst) else float("nan"),
            flat=each(lambda one: one.flat).mean().item(),
            beading_tone=strokes.tone,
            beading_width=strokes.width,
            tone_error=strokes.tone_error,
            width_error=strokes.width_error,
        ),
    )
