"""What requests share: models, jobs, fields, pictures, and the threads that work for them."""

import asyncio
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.exceptions import HTTPException

from s2id.studio.drawing import Drawing
from s2id.studio.jobs import Job, Queue
from s2id.studio.settings import Limits
from s2id.studio.shelf import Shelf

if TYPE_CHECKING:
    from s2id.studio.compose import Drawn
    from s2id.studio.models import Library, Offer
    from s2id.studio.uploads import Reader

_Result = TypeVar("_Result")

_HEAD_START = 1.5
"""Seconds for the page to open before torch is imported and weights are read."""


class Studio:
    """What requests share: models, jobs, fields and pictures."""

    def __init__(
        self,
        sources: Sequence[str] = (),
        device: str = "cpu",
        limits: Limits | None = None,
        runs: Sequence[Path] = (),
    ) -> None:
        """A studio that has done nothing yet.

        Args:
            sources: Models, as `s2id.load` takes them; none stands for all that are bundled.
            device: Device to compute on.
            limits: Bounds of what clients may ask for; `None` is the usual ones.
            runs: Folders of training runs to watch, or folders that hold such folders.
        """
        limits = self.limits = limits or Limits()
        self._sources, self._device, self.runs = tuple(sources), device, tuple(runs)
        self.queue, self.drawing = Queue(limits.queue, limits.cache_megabytes * 2**20), Drawing()
        self.fields: Shelf[Drawn] = Shelf(limits.cache_megabytes * 2**20 // 2)
        self.pictures: Shelf[bytes] = Shelf(limits.cache_megabytes * 2**20 // 2)
        self._library: Library | None = None
        self._reader: Reader | None = None

    async def library(self) -> "Library":
        """The models; their headers are read by the first to ask, beside all other requests.

        Raises:
            InputError: A model cannot be loaded.
        """

        def read() -> "Library":
            from s2id.studio.models import Library

            return Library(self._sources, self._device)

        if self._library is None:
            self._library = await self.drawing.call(lambda: self._library or read())
        return self._library

    async def offer(self, name: str, task: str) -> "Offer":
        """The model of a name, loaded.

        Raises:
            InputError: There is none, it does not serve for the task, or it cannot be loaded.
        """
        offer = (await self.library()).get(name, task)
        await self._load(offer)
        return offer

    async def warm(self) -> None:
        """Load what the first to draw would wait for, once the page had time to open."""
        library = await self.library()
        await asyncio.sleep(_HEAD_START)
        for offer in library.offers.values():
            await self._load(offer)

    async def _load(self, offer: "Offer") -> None:
        await self.drawing.call(lambda: offer.model)

    async def read(self, what: Callable[["Reader"], _Result]) -> _Result:
        """What a reader makes of a client's files."""
        await self.drawing.call(lambda: import_module("s2id.studio.restoring"))  # which imports torch
        if self._reader is None:
            from s2id.studio.uploads import Reader

            self._reader = Reader(self.limits.upload_megapixels)
        reader = self._reader
        return await asyncio.to_thread(lambda: what(reader))

    def start(self, work: Callable[[Job], dict[str, Any]], size: int = 0) -> dict[str, str]:
        """Add a job, which holds so many bytes while it waits, to the queue; the answer names it."""
        job = Job(work, self.limits.job_seconds, size)
        self.queue.add(job)
        return {"job": job.id}

    def field(self, name: str) -> "Drawn":
        """The field of an id."""
        return found(self.fields.get(name), "field")

    def picture(self, name: str) -> "Drawn":
        """The field of an id, if it is one picture.

        Raises:
            HTTPException: It is a way.
        """
        if (drawn := self.field(name)).way is not None:
            raise HTTPException(404, "this is a way and no picture; ask for it as .html, .gif or .safetensors.")
        return drawn

    async def left(self, job: Job) -> None:
        """Cancel a job that nobody follows any more."""
        await asyncio.sleep(self.limits.grace_seconds)
        if not job.followed and not job.ended:
            self.queue.cancel(job)

    def close(self) -> None:
        """End what is being done."""
        self.queue.close()
        self.drawing.close()
        if self._reader is not None:
            self._reader.close()


def found(thing: Any, what: str) -> Any:  # noqa: ANN401  (what is looked for)
    """What was looked for.

    Raises:
        HTTPException: It is not there.
    """
    if thing is None:
        raise HTTPException(404, f"there is no such {what}, or it was forgotten to make room; make it again.")
    return thing
