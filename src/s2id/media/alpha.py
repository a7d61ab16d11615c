"""Transparency: pictures of 2 or 4 channels are grey + alpha or RGBA, and their colours are premultiplied by alpha.

Files hold straight alpha, whose hidden colours mean nothing; a mean over pixels would mix them in. So a picture is
premultiplied when it is read, v = a * c from 0 to 1, every value is mapped to 2v - 1, and `straight` divides again
when it is written. Porter and Duff 1984, section 3.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from s2id.errors import InputError
from s2id.settings import Alpha, Size

_SQUARES = 8  # of the checkerboard along a picture's longer side

_LIGHT = 0.6  # its darker squares, in [-1, 1]; the others are white

_PLAIN = {"white": "#ffffff", "black": "#000000"}

_ROUNDING = 2 / 255  # by which rounding to bytes may lift a colour above its alpha, in [-1, 1]


def has_alpha(channels: int) -> bool:
    """Whether the last of so many channels is alpha.

    >>> [has_alpha(channels) for channels in (1, 2, 3, 4)]
    [False, True, False, True]
    """
    return channels in (2, 4)


def fitting(transparent: int, count: int) -> Alpha:
    """What becomes of transparency where nobody chose: kept if more than one picture in a hundred has any, else white.

    >>> fitting(1, 100), fitting(2, 100)
    ('white', 'keep')
    """
    return "keep" if 100 * transparent > count else "white"


def premultiply(straight: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
    """Colours multiplied by alpha, of pictures in [-1, 1] with straight alpha, as files hold it; others as they are.

    >>> premultiply(torch.tensor([[[1.0, 1.0, 1.0]], [[-1.0, 0.0, 1.0]]])).tolist()  # white; alpha of 0, 1/2 and 1
    [[[-1.0, 0.0, 1.0]], [[-1.0, 0.0, 1.0]]]
    """
    if not has_alpha(straight.shape[-3]):
        return straight
    colour, alpha = _split(straight)
    return torch.cat([(colour + 1) * (alpha + 1) / 2 - 1, alpha], dim=-3)


def straight(values: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b c h w"]:
    """Colours divided by alpha, as files hold them; the inverse of `premultiply`. Fully transparent pixels are black.

    Pictures without alpha stay as they are.
    """
    if not has_alpha(values.shape[-3]):
        return values
    colour, alpha = _split(covered(values.clamp(-1, 1)))
    share = (colour + 1) / (alpha + 1).clamp(min=1e-6)
    return torch.cat([2 * share - 1, alpha], dim=-3)


def covered(values: Float[Tensor, "*b c h w"], dim: int = -3) -> Float[Tensor, "*b c h w"]:
    """Premultiplied pictures whose colours are at most their alpha; pictures without alpha as they are.

    Args:
        values: Pictures.
        dim: Axis of the channels.
    """
    count = values.shape[dim]
    return torch.minimum(values, values.narrow(dim, count - 1, 1)) if has_alpha(count) else values


def over(values: Float[Tensor, "*b c h w"], ground: str) -> Float[Tensor, "*b k h w"]:
    """Pictures laid over a ground: premultiplied pictures lose their alpha, others are returned as they are.

    Args:
        values: Pictures in [-1, 1].
        ground: "white", "black", "checker", or a colour as "#rrggbb". A grey picture over a colour is in colour.

    >>> half = torch.tensor([[[0.0]], [[0.0]]])  # white, half transparent: colour and alpha are 0.5 of 1
    >>> over(half, "white").item(), over(half, "black").item(), over(half, "#ff0000").flatten().tolist()
    (1.0, 0.0, [1.0, 0.0, 0.0])
    """
    if not has_alpha(values.shape[-3]):
        return values
    colour, alpha = _split(values)
    size = (values.shape[-2], values.shape[-1])
    return colour + (1 - alpha) / 2 * (_ground(ground, size).to(values) + 1)


def with_alpha(values: Float[Tensor, "*b c h w"]) -> Float[Tensor, "*b k h w"]:
    """Pictures with an alpha of 1, or their own if they have one."""
    channels = values.shape[-3]
    return values if has_alpha(channels) else in_channels(values, channels + 1)


def in_channels(
    pictures: Float[Tensor, "*b c h w"] | UInt8[Tensor, "*b c h w"], channels: int
) -> Float[Tensor, "*b k h w"] | UInt8[Tensor, "*b k h w"]:
    """Pictures, in [-1, 1] or bytes, with as many channels or more: grey becomes three equal colours.

    A missing alpha becomes that of what covers all.
    """
    colours, own = (count - has_alpha(count) for count in (channels, pictures.shape[-3]))
    whole = pictures[..., :own, :, :]
    whole = whole.expand(*whole.shape[:-3], colours, -1, -1)
    if not has_alpha(channels):
        return whole
    solid = torch.full_like(pictures[..., :1, :, :], 1 if pictures.is_floating_point() else 255)
    return torch.cat([whole, pictures[..., own:, :, :] if own < pictures.shape[-3] else solid], dim=-3)


def is_coloured(ground: str) -> bool:
    """Whether a ground has a colour, so that a grey picture laid over it needs three channels."""
    return len(_ground(ground, (1, 1))) == 3


def check_premultiplied(values: Float[Tensor, "*b c h w"]) -> None:
    """Refuse pictures with alpha whose colours are brighter than it, as those of straight alpha may be.

    Raises:
        InputError: A colour exceeds its alpha.
    """
    if has_alpha(values.shape[-3]) and bool((values - covered(values) > _ROUNDING).any()):
        raise InputError(
            "the picture has colours above its alpha, which premultiplied values never have; "
            "give s2id.media.alpha.premultiply(picture)."
        )


def _split(values: Float[Tensor, "*b c h w"]) -> tuple[Float[Tensor, "*b k h w"], Float[Tensor, "*b 1 h w"]]:
    """Colours and alpha."""
    return values[..., :-1, :, :], values[..., -1:, :, :]


def _ground(ground: str, size: Size) -> Float[Tensor, "k _ _"]:
    """Pixels of a ground: one channel if it is grey, else three; of one pixel if it is plain."""
    if ground == "checker":
        rows, columns = ((torch.arange(side) + 0.5) * _SQUARES // max(size) for side in size)
        return torch.where((rows[:, None] + columns) % 2 == 1, _LIGHT, 1.0)[None]
    colour = torch.tensor([*bytes.fromhex(_PLAIN.get(ground, ground)[1:])])[:, None, None] / 127.5 - 1
    return colour[:1] if bool((colour == colour[0]).all()) else colour
