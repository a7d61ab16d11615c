"""A model as a denoiser of states of one size, and its last call, which reads the function out."""

import torch

from s2id.condition import Asked, Condition, condition_of
from s2id.coords import extent
from s2id.diffusion.denoiser import TrainedDenoiser
from s2id.diffusion.guidance import AutoGuided
from s2id.diffusion.process import Schedule
from s2id.network.build import AnyNetwork
from s2id.network.heads import Features, FieldHead
from s2id.network.published import PixelHead
from s2id.sampling.conditions import parts_of
from s2id.sampling.field import Field
from s2id.sampling.model import S2ID
from s2id.sampling.resolving import guides_itself
from s2id.sampling.smoothing import smoothed
from s2id.settings import Size
from s2id.shapes import Images

READING = 0.5
"""Share of the autoguidance that the last call has. With all of it, edges are sharper than the data's (runs/LOG.md,
2026-11-26)."""


def guided_denoiser(
    model: S2ID, size: Size, shift: bool = True, autoguidance: float = 1.0
) -> TrainedDenoiser | AutoGuided:
    """The model as a denoiser of states of a size, moved away from its guide.

    Args:
        model: The model.
        size: Height and width of the states.
        shift: Whether the schedule is shifted to the density of the states, as in `Sampling.shift`.
        autoguidance: Weight of autoguidance; 1 is off.
    """
    own = trained_denoiser(model, size, shift)
    if autoguidance == 1 or model.guide is None:
        return own
    return AutoGuided(own, _denoiser(model, model.guide, size, shift), autoguidance)


def trained_denoiser(model: S2ID, size: Size, shift: bool = True) -> TrainedDenoiser:
    """The model without its guide as a denoiser of states of a size; arguments as for `guided_denoiser`."""
    return _denoiser(model, model.network, size, shift)


def _denoiser(model: S2ID, network: AnyNetwork, size: Size, shift: bool) -> TrainedDenoiser:
    model.need_composition("drawing")
    config, schedule = network.config, _schedule(model, size, shift)
    input_schedule = schedule if config.knows_density else model.schedule
    # at t = 1 an eps-prediction's error is magnified by 1 / alpha, a thousandfold; clean states are in [-1, 1]
    bound = 1.0 if config.prediction == "eps" else None
    return TrainedDenoiser(network, schedule, config.prediction, input_schedule, bound)


def _schedule(model: S2ID, size: Size, shift: bool = True) -> Schedule:
    """The forward process of states of a size."""
    return model.schedule.at_density(max(size) / model.card.density) if shift else model.schedule


def _data_facts(model: S2ID) -> dict[str, str]:
    """Facts about the data's own pixels, for the field's file: drawing pixel art needs them."""
    side = {"long_side": str(max(model.card.size))} if model.card.size else {}
    return {**side, **({"palette": " ".join(model.card.palette)} if model.card.palette else {})}


@torch.inference_mode()
def read_out(
    model: S2ID,
    x: Images,
    asked: Asked,
    facts: dict[str, str] | None = None,
    t: float = 0.0,
    frame: tuple[float, float] | None = None,
    autoguidance: float = 1.0,
    smoothing: float = 0.0,
) -> Field:
    """The functions that composed states show: of the model's renderer, or else one more call of the network.

    Args:
        model: The model that composed the states.
        x: States on the composition grid.
        asked: Their conditions, of which the first of `parts_of` is read.
        facts: Facts for the field's file.
        t: Time of the states: 0, except for a distilled model, whose last call starts from its last time.
        frame: Height and width of the frame that the states cover, in composition units. The aspect of whole patches
            is seldom the frame's. `None` is a frame of square samples.
        autoguidance: Weight of autoguidance in sampling; 1 is off. A weaker model reads more softly, so autoguidance
            sharpens here; this call therefore moves half as far as the others.
        smoothing: Differences of colour that are taken out of states which the renderer draws.
    """
    size = (x.shape[2], x.shape[3])
    facts = {**_data_facts(model), **(facts or {})}
    if model.config.dense:
        return Field(Features(x.movedim(1, -1), frame or extent(size)), PixelHead(model.config.channels), facts)
    logsnr = _schedule(model, size).logsnr(torch.full((len(x),), t, dtype=torch.float64, device=x.device)).to(x)

    def read(network: AnyNetwork) -> Features:
        return network.decode(network.encode(x, logsnr, frame), asked.to(x.device))

    if isinstance(asked, Condition):
        asked = parts_of(model, asked)[0]
    if guides_itself(model, autoguidance):  # the last call is never moved away from the unconditional one
        asked = condition_of(asked, len(x)).weighted(1.0)
    if model.renderer is not None:
        clean = model.network.predict(read(model.network), size) if t else x
        features, drawn_by = model.renderer.function_of(smoothed(clean.clamp(-1, 1), smoothing), frame or extent(size))
        return Field(features, drawn_by, facts)
    own, head = read(model.network), model.network.head
    if autoguidance == 1 or model.guide is None:
        return Field(own, head, facts)
    assert isinstance(head, FieldHead) and isinstance(model.guide.head, FieldHead)  # alike, and not dense
    weaker = read(model.guide)
    both = Features(torch.cat([weaker.values, own.values], dim=-1), own.frame, own.middle)
    return Field(both, FieldHead.lerp(model.guide.head, head, 1 + READING * (autoguidance - 1)), facts)
