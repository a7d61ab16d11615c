"""Settings of the studio: how much it lets in, does at once, and keeps. Nothing here imports torch."""

from dataclasses import dataclass
from typing import Annotated

from s2id.checks import Within, check
from s2id.settings import setting

_Megabytes = Annotated[int, Within(1, 2**20)]

_Seconds = Annotated[float, Within(0.01, 10**6)]


@dataclass(frozen=True)
class Limits:
    """Bounds of what clients may ask for, and of what the studio keeps."""

    queue: Annotated[int, Within(1, 1000)] = setting(16, "studio")
    """Jobs that wait at most; further ones are refused until one has begun."""
    job_seconds: _Seconds = setting(600.0, "studio")
    """Longest time that a job may take, in seconds."""
    request_seconds: _Seconds = setting(60.0, "studio")
    """Longest time that a request may take to arrive, and as long again until its answer begins, in seconds."""
    upload_megabytes: _Megabytes = setting(32, "studio")
    """Largest request with files, in MiB."""
    upload_megapixels: _Megabytes = setting(16, "studio")
    """Most pixels of all pictures of a request together, in 2^20."""
    picture_megapixels: _Megabytes = setting(64, "studio")
    """Largest picture that is drawn, in 2^20 pixels."""
    iiif_side: Annotated[int, Within(1, 2**24)] = setting(8192, "studio")
    """Pixels along the long side that a picture counts as in the IIIF Image API."""
    cache_megabytes: _Megabytes = setting(256, "studio")
    """Memory for fields and pictures, in MiB; those that nobody has asked for the longest are forgotten first."""
    grace_seconds: _Seconds = setting(10.0, "studio")
    """Time after which a job that someone followed, and nobody follows any more, is cancelled, in seconds."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        check(self)


MOST_PICTURES = 48
"""Pictures of one job."""

MOST_DENSITY = 128
"""Samples along the long side of a state that is asked for, or the model's own, if these are more: with more samples a
single call of torch, which cannot be left midway, takes seconds, and then minutes and all memory."""

MOST_SIDE = 2**16
"""Longest side of a picture that is asked for, in pixels."""

MOST_RESULT = 2**24
"""Pixels of what is made of a picture, of all answers together."""

UPLOADS = 4
"""Requests with files that arrive at the same time."""

MOST_BYTES = 2**17
"""Largest request without files, in bytes."""
