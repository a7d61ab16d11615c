"""Which network class a config belongs to."""

from s2id.network.enlarger import Enlarger
from s2id.network.network import FieldNetwork
from s2id.network.published import PublishedNetwork
from s2id.network.settings import EnlargerConfig, NetworkConfig, PublishedConfig

AnyNetwork = FieldNetwork | PublishedNetwork | Enlarger


def build(config: NetworkConfig) -> AnyNetwork:
    """A network with fresh random weights.

    Example:
        >>> from s2id.network.settings import ModelConfig
        >>> type(build(ModelConfig(width=8, heads=1))).__name__
        'FieldNetwork'
    """
    if isinstance(config, EnlargerConfig):
        return Enlarger(config)
    return PublishedNetwork(config) if isinstance(config, PublishedConfig) else FieldNetwork(config)
