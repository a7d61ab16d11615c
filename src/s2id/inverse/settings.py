"""Settings of restoration. Nothing here imports torch."""

from s2id.sampling.settings import Sampling

RESTORING = Sampling(steps=20, guidance=1.0)
"""How restored pictures are sampled where no other settings are given."""
