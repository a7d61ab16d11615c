"""The named runs, as values."""

from s2id.config import ModelConfig, Preset, TrainConfig

PRESETS: dict[str, Preset] = {
    "mnist": Preset("mnist"),
    "fashion-mnist": Preset("fashion-mnist"),
    "digits": Preset(
        "digits",
        ModelConfig(width=96, heads=4, encoder_blocks=2, decoder_blocks=2, patch=2, lattice=2, head_width=32),
        TrainConfig(images=300_000, batch=64, densities=(8,), ema=0.999),
    ),
    "tiny": Preset(
        "digits",
        ModelConfig(width=16, heads=2, encoder_blocks=1, decoder_blocks=1, patch=2, lattice=2, head_width=8),
        TrainConfig(images=640, batch=16, densities=(8,)),
    ),
}
