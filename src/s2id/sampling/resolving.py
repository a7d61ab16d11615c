"""What a model makes of settings of sampling: its own values, or the defaults, where they name none. Without torch."""

from dataclasses import replace

from s2id.diffusion.settings import ALWAYS
from s2id.errors import InputError
from s2id.sampling.model_file import Known
from s2id.sampling.settings import DEFAULT_GUIDANCE, DEFAULT_STEPS, Sampling


def resolved(model: Known, sampling: Sampling, steered: bool = False, restoring: bool = False) -> Sampling:
    """The settings with the model's own values, or the defaults, in place of `None`.

    Args:
        model: The model to sample from.
        sampling: Settings.
        steered: Whether there is a condition to avoid.
        restoring: Whether a picture is restored, which is done without autoguidance.

    Raises:
        InputError: The model, or the solver, has no use for a setting.
    """
    model.need_composition("restoring" if restoring else "sampling")
    sampler, eta, own = sampling.sampler, sampling.eta, len(model.card.times)
    if sampler != Sampling.sampler or eta:
        _check_solver(sampler, eta)
    if restoring:
        model.need_denoiser("restoring")
        if sampling.autoguidance not in (None, 1):
            raise InputError("a picture is restored without autoguidance; leave autoguidance out.")
        if sampling.smoothing:
            raise InputError("a restored picture is not smoothed, but agrees with the given one; leave smoothing out.")
        sampling = replace(sampling, autoguidance=1.0, smoothing=0.0)
    autoguidance = autoguidance_of(model, sampling.autoguidance)
    temperature = temperature_of(model, sampling.temperature, restoring)
    smoothing = smoothing_of(model, sampling.smoothing)
    sampling = replace(sampling, autoguidance=autoguidance, temperature=temperature, smoothing=smoothing)
    if not own:
        guidance = DEFAULT_GUIDANCE if sampling.guidance is None else sampling.guidance
        most, learned = model.config.most_guidance, guides_itself(model, autoguidance)
        if learned and not 1 <= guidance <= most:
            raise InputError(
                f"guidance is {guidance:g}, and this model learned weights from 1 to {most:g}; give one of these."
            )
        return replace(sampling, steps=sampling.steps or DEFAULT_STEPS, guidance=guidance)
    if sampling.steps not in (None, own):
        raise InputError(f"steps is {sampling.steps} and this model is distilled for {own} calls; leave steps out.")
    steered = steered or bool(sampling.stronger) or sampling.guidance_interval != ALWAYS
    if sampling.guidance not in (None, 1) or steered or eta:
        raise InputError(
            "guidance, its interval, stronger labels, avoid and eta cannot be chosen for a distilled model, whose "
            "guidance is built in; leave them out."
        )
    return replace(sampling, steps=own, guidance=1.0, sampler="ddim")


def _check_solver(sampler: str, eta: float) -> None:
    """Refuse a solver that there is not, and noise in each step of one that adds none.

    Raises:
        InputError: It is such a one.
    """
    from s2id.diffusion.samplers import SAMPLERS, STOCHASTIC  # which imports torch

    if sampler not in SAMPLERS:
        raise InputError(f"sampler {sampler!r} is unknown; choose {', '.join(SAMPLERS)}.")
    if eta and sampler not in STOCHASTIC:
        raise InputError(f"eta {eta:g} works with the samplers {' and '.join(STOCHASTIC)}; leave it 0 with {sampler}.")


def autoguidance_of(model: Known, wanted: float | None = None) -> float:
    """Weight of autoguidance: the wanted one, or else the one in the model's card; 1 (off) if the model has no guide.

    Raises:
        InputError: A weight other than 1 is wanted of a model without a guide, or other than 1 and the learned one of
            a model that learned autoguidance.
    """
    own = model.card.autoguidance
    if wanted is None:
        return own if model.guide or model.config.guided else 1.0
    if model.config.guided and wanted not in (1, own):
        raise InputError(
            f"autoguidance is {wanted:g}, and this model learned it with the weight {own:g}; leave it out, or give 1 "
            "to sample without it."
        )
    if wanted != 1 and model.guide is None and not model.config.guided:
        raise InputError(f"autoguidance is {wanted:g} and this model has no guide; `s2id guide` gives it one.")
    return wanted


def temperature_of(model: Known, wanted: float | None = None, restoring: bool = False) -> float:
    """Factor of the noise: the wanted one, or else the one in the model's card, or 1 where a picture is restored."""
    if wanted is None:
        return 1.0 if restoring else model.card.temperature
    return wanted


def smoothing_of(model: Known, wanted: float | None = None) -> float:
    """Differences of colour that are smoothed away: the wanted ones, or else the card's; 0 if there is no renderer.

    Raises:
        InputError: Some are wanted of a model without a renderer.
    """
    if model.renderer is not None:
        return model.card.smoothing if wanted is None else wanted
    if wanted:
        raise InputError(
            f"smoothing is {wanted:g}, and this model draws its states itself; leave smoothing out, or train with "
            "renderer=graphics."
        )
    return 0.0


def guides_itself(model: Known, autoguidance: float) -> bool:
    """Whether one call of the model's network gives the guided prediction, at a weight from `autoguidance_of`.

    Without the autoguidance that it learned, such a network gives plain predictions, which several calls guide.
    """
    return model.config.guided and autoguidance == model.card.autoguidance
