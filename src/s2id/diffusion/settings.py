"""Names and defaults of the diffusion process that other settings use."""

from typing import Literal

ALWAYS = (0.0, 1.0)
"""Interval of times of guidance that is on in every step."""

NoiseKind = Literal["nested", "white"]
"""Relation between a seed's noise at two densities. "nested": block means of the finer noise, times the ratio of the
densities, are the coarser noise. "white": the two are independent."""
