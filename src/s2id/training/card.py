"""The card of a model that a run has trained: what sampling needs to know of its data and its training."""

from s2id.data.pictures import Pictures
from s2id.diffusion.process import Schedule
from s2id.sampling.settings import Card
from s2id.training.settings import TrainConfig


def card_of(
    pictures: Pictures, config: TrainConfig, schedule: Schedule, images_seen: int, palette: tuple[str, ...] = ()
) -> Card:
    """The card of a model.

    Args:
        pictures: The data.
        config: Settings of the run.
        schedule: Noise schedule of the run.
        images_seen: Pictures that the model was trained on, repetitions counted.
        palette: As in the card.
    """
    latents = pictures.latents
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
        attribute_counts=pictures.attribute_counts,
        words=pictures.words,
        word_counts=pictures.word_counts,
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
    )
