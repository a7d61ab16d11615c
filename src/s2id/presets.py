"""The named runs, as values."""

from dataclasses import replace

from s2id.config import ModelConfig, Preset, TrainConfig

_ONE_DENSITY = TrainConfig(densities=(8,), density_weights=(1.0,), queries=4.0, ema=0.999)

_WIDE = ModelConfig(width=128, heads=4)
_LONG = TrainConfig(images=800_000, batch=64, lr=1.2e-3)

PRESETS: dict[str, Preset] = {
    "mnist": Preset("mnist", _WIDE, _LONG),
    "fashion-mnist": Preset("fashion-mnist", _WIDE, _LONG),
    "glyphs": Preset("glyphs", _WIDE, _LONG),
    "folder": Preset("folder", train=TrainConfig(densities=(32,), density_weights=(1.0,))),
    "digits": Preset(
        "digits",
        ModelConfig(width=96, heads=4, encoder_blocks=2, decoder_blocks=2, patch=2, head_width=32, lattice=2),
        replace(_ONE_DENSITY, images=300_000),
    ),
    "tiny": Preset(
        "digits",
        ModelConfig(width=16, heads=2, encoder_blocks=1, decoder_blocks=1, patch=2, head_width=8, lattice=2),
        replace(_ONE_DENSITY, images=640, batch=16),
    ),
}
