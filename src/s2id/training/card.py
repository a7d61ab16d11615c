"""The card of a model that a run has trained, what sampling needs to know of it, and settings from such a card."""

from dataclasses import replace
from itertools import zip_longest
from typing import Any

from s2id.data.pictures import Pictures
from s2id.diffusion.process import Schedule
from s2id.network.settings import like
from s2id.sampling.model import S2ID
from s2id.sampling.settings import Card
from s2id.training.settings import Preset, TrainConfig
from s2id.words import MOST_PAIRS


def card_of(
    pictures: Pictures,
    config: TrainConfig,
    schedule: Schedule,
    images_seen: int,
    palette: tuple[str, ...] = (),
    start: Card | None = None,
) -> Card:
    """The card of a model.

    Args:
        pictures: The data.
        config: Settings of the run.
        schedule: Noise schedule of the run.
        images_seen: Pictures that the model was trained on, repetitions counted.
        palette: As in the card.
        start: Card of the model that the run began with, whose words and attributes are still known.
    """
    latents = pictures.latents
    has, lacks = zip(*pictures.attribute_counts, strict=True) if pictures.attribute_counts else ((), ())
    if start is not None and start.attribute_counts:
        had, lacked = zip(*start.attribute_counts, strict=True)
        has, lacks = _most(has, had), _most(lacks, lacked)
    return Card(
        data=pictures.name,
        density=config.densities[0],
        detail_density=config.detail_density,
        detail_time=config.detail_time if config.detail_density else 0.0,
        kind=pictures.reader,
        alpha=pictures.alpha,
        size=pictures.size,
        labels=pictures.labels,
        attributes=pictures.attributes,
        numbers=pictures.numbers,
        number_ranges=pictures.number_ranges,
        pictures=len(pictures),
        label_counts=pictures.label_counts,
        attribute_counts=tuple(zip(has, lacks, strict=True)),
        words=pictures.words,
        word_counts=_most(pictures.word_counts, start.word_counts if start is not None else ()),
        words_together=_all_pairs(pictures, start),
        encoder=config.encoder,
        observe=config.pixelate or "",
        autoencoder=latents.autoencoder if latents else "",
        latent_factor=latents.factor if latents else 1,
        latent_mean=latents.mean if latents else (),
        latent_std=latents.std if latents else (),
        images_seen=images_seen,
        schedule_s=schedule.s,
        schedule_shift=schedule.shift,
        palette=palette,
        temperature=config.temperature,
        smoothing=config.smoothing,
    )


def _most(counts: tuple[int, ...], before: tuple[int, ...]) -> tuple[int, ...]:
    """Numbers of pictures of each name: now or before, when there were fewer names, whichever are more."""
    return tuple(map(max, zip_longest(counts, before, fillvalue=0)))


def _all_pairs(pictures: Pictures, start: Card | None) -> tuple[tuple[int, ...], ...]:
    """Words that pictures have together, now or before; none if there are too many, or were."""
    now = pictures.words_together
    if start is None or not start.words:
        return now
    if not now or not start.words_together:
        return ()
    both = zip_longest(now, start.words_together, fillvalue=())
    rows = tuple(tuple(sorted({*one, *other})) for one, other in both)
    return rows if sum(map(len, rows)) <= MOST_PAIRS else ()


def like_model(start: S2ID, asked: Preset, preset: Preset) -> Preset:
    """Settings of a run that begins with a model: the model's where the preset's were left as they are.

    Args:
        start: The model, whose network, states and noise are meant.
        asked: The preset's settings, some of them changed.
        preset: The preset's settings.
    """
    model, train = like(start.config, asked.model, preset.model), like_card(start.card, asked.train, preset.train)
    return replace(asked, model=model, train=train)


def like_card(card: Card, asked: TrainConfig, preset: TrainConfig) -> TrainConfig:
    """Settings of a run that begins with a model: its states and noise where the preset's were left as they are.

    Args:
        card: Card of the model.
        asked: The preset's settings, some of them changed.
        preset: The preset's settings.

    Example:
        >>> preset = TrainConfig(long_side=128)
        >>> found = like_card(Card(density=16, temperature=0.8, size=(64, 64)), TrainConfig(long_side=48), preset)
        >>> found.densities, found.temperature, found.long_side
        ((16,), 0.8, 48)
    """
    if asked.pixelate or card.autoencoder:  # then the data decide
        return asked
    known: dict[str, Any] = {
        "densities": (card.density,),
        "schedule_shift": card.schedule_shift,
        "temperature": card.temperature,
        "smoothing": card.smoothing,
        "detail_density": card.detail_density,
    }
    if asked.densities == preset.densities:
        known["density_weights"] = ()
    if card.detail_density:
        known["detail_time"] = card.detail_time
    if card.size:
        known["long_side"] = max(card.size)
    left = (name for name in known if getattr(asked, name) == getattr(preset, name))
    return replace(asked, **{name: known[name] for name in left})
