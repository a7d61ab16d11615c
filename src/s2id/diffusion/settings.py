"""The choices of the diffusion process that settings name."""

from typing import Literal

ALWAYS = (0.0, 1.0)
"""First and last time of guidance that never stops."""

NoiseKind = Literal["nested", "white"]
"""How a seed's noise at one density relates to that at another: as block means, or not at all."""
