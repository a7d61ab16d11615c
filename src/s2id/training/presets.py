"""The named runs, as values. Nothing here imports torch."""

from dataclasses import replace

from s2id.errors import InputError
from s2id.network.settings import EnlargerConfig, ModelConfig, PublishedConfig
from s2id.training.settings import Preset, TrainConfig

_ONE_DENSITY = TrainConfig(densities=(8,), density_weights=(1.0,), queries=4.0, ema=0.999)

_PICTURES = TrainConfig(long_side=128, batch=16, queries=6.0)

_BY_DATA = ModelConfig(patch=0, lattice=0, attention="full", overlap=True)

_WIDE = ModelConfig(width=128, heads=4, encoder_blocks=4, decoder_blocks=4)

_LONG = TrainConfig(
    images=800_000, batch=64, max_weight=5.0, densities=(20, 16, 24), density_weights=(0.94, 0.03, 0.03)
)

_PUBLISHED = TrainConfig(
    images=1_200_000,
    batch=25,
    optimiser="adamw",
    lr=1e-3,
    warmup=0.05,
    drop_label=0.0,
    both_conditions=True,
    recompute="blocks",
    densities=(28,),
    density_weights=(1.0,),
    schedule_shift=0.0,
    sample_minutes=60.0,
)

PRESETS: dict[str, Preset] = {
    "mnist": Preset("mnist", _WIDE, _LONG),
    "fashion-mnist": Preset("fashion-mnist", _WIDE, _LONG),
    "glyphs": Preset(
        "glyphs",
        replace(_WIDE, patch=0, lattice=0),
        # the data's own density, for reconstruction: a given picture enters the state unshrunk
        replace(_LONG, densities=(), density_weights=()),
    ),
    "emoji": Preset(
        "vectors",
        # tokens of 4 x 4 samples, which overlap: few, so that a wide network is affordable
        ModelConfig(
            channels=3,
            width=160,
            heads=5,
            encoder_blocks=4,
            decoder_blocks=4,
            film_width=96,
            canvas=32,
            canvas_width=448,
            canvas_blocks=2,
            local_blocks=4,
            local_width=48,
            attention="full",
            patch=4,
            lattice=6,
            overlap=True,
        ),
        # composes on 16 samples and ends on 32; the pictures have 64 pixels, so detail between samples is learned.
        # Little noise weighs much: what is left of it shows in flat colours
        TrainConfig(
            images=1_000_000,
            batch=16,
            max_weight=20.0,
            densities=(16,),
            density_weights=(1.0,),
            detail_density=32,
            detail_share=0.6,
            redraw_steps=4000,
            drop_each=0.1,
            drop_attributes=0.5,
            long_side=64,
            alpha="white",
            temperature=0.8,
            smoothing=0.1,
            renderer="graphics",
        ),
    ),
    "folder": Preset("folder", _BY_DATA, _PICTURES),
    "vectors": Preset("vectors", _BY_DATA, replace(_PICTURES, long_side=64)),
    "hub": Preset("hub", _BY_DATA, _PICTURES),
    "celeba": Preset(
        "celeba",
        ModelConfig(channels=3, attributes=40, width=192, heads=6, encoder_blocks=4, decoder_blocks=4, head_width=48),
        TrainConfig(
            images=2_000_000,
            densities=(40, 32, 48),
            density_weights=(0.94, 0.03, 0.03),
            long_side=64,
            sample_minutes=30.0,
        ),
    ),
    "digits": Preset(
        "digits",
        ModelConfig(width=96, heads=4, encoder_blocks=2, decoder_blocks=2, patch=2, head_width=32, lattice=2),
        replace(_ONE_DENSITY, images=300_000),
    ),
    "graphics": Preset(
        "vectors",
        EnlargerConfig(width=64, blocks=8),
        # windows of 24 x 24 pixels of drawings of 512 x 512 pixels
        TrainConfig(
            images=400_000, batch=16, lr=2e-3, densities=(24,), queries=16.0, long_side=512, alpha="keep", ema=0.999
        ),
    ),
    "reference": Preset("mnist", PublishedConfig(), _PUBLISHED),
    "tiny": Preset(
        "digits",
        ModelConfig(width=16, heads=2, encoder_blocks=1, decoder_blocks=1, patch=2, head_width=8, lattice=2),
        replace(_ONE_DENSITY, images=640, batch=16),
    ),
}


def preset_named(name: str) -> Preset:
    """The preset of a name.

    Raises:
        InputError: There is none.

    Example:
        >>> preset_named("tiny").data
        'digits'
    """
    if name not in PRESETS:
        from difflib import get_close_matches

        near = get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose {', '.join(PRESETS)}."
        raise InputError(f"there is no preset {name!r}; {hint}")
    return PRESETS[name]
