"""What a model file says beside its weights, and how to sample."""

from dataclasses import dataclass

from s2id.settings import Size

DEFAULT_STEPS = 12
"""Solver steps of sampling where none are given."""


@dataclass(frozen=True)
class Card:
    """What a model was trained on: all that sampling and rendering must know besides the network."""

    data: str = ""
    """Name of the data set."""
    density: int = 20
    """Samples along the long side of the state that sampling composes on."""
    labels: tuple[str, ...] = ()
    """Name of each class, by index."""
    images_seen: int = 0
    """Images drawn in training."""
    schedule_s: float = 0.008
    """Offset s of the cosine schedule."""
    schedule_shift: float = 0.0
    """What is added to the cosine schedule's logsnr at that density."""
    size: Size | None = None
    """Height and width of most of the data's pictures; `None` is not known."""
    attributes: tuple[str, ...] = ()
    """Name of each attribute, by index."""
    numbers: tuple[str, ...] = ()
    """Name of each number, by index."""
    number_ranges: tuple[tuple[float, float], ...] = ()
    """Least and most of each number in the data."""
    observe: str = ""
    """How training saw the pictures where it never saw them as they are; `TrainConfig.observe`."""
    times: tuple[float, ...] = ()
    """Of a distilled model: the times of the only calls it makes, from 1 down; the last reads the function out."""
    autoencoder: str = ""
    """Whose latents the states are: its class and the SHA-256 of its weights; empty where states are pictures."""
    latent_factor: int = 1
    """Pixels of a picture per side of a latent sample."""
    latent_mean: tuple[float, ...] = ()
    """Mean of each channel of the autoencoder's latents: a state is `(latents - mean) / std`."""
    latent_std: tuple[float, ...] = ()
    """Standard deviation of each."""
    detail_density: int = 0
    """Samples along the long side of the state that sampling ends on; 0 is `density`."""
    detail_time: float = 0.0
    """t from which on the state has `detail_density`."""
    kind: str = ""
    """What reads the data set, "folder" or "hub"; empty where its name says so."""
    autoguidance: float = 1.0
    """Weight of the guide's autoguidance in sampling, where there is a guide; 1 is off."""

    def knows(self, names: tuple[tuple[str, ...], ...]) -> bool:
        """Whether data with such names of labels, attributes and numbers are what the model was trained on."""
        return (self.labels, self.attributes, self.numbers) == names
