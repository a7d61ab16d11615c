"""Drawing pictures of fields for requests: by one thread, strip by strip, so that large ones hold up nobody."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from s2id.studio.jobs import BusyError

_MOST = 128
"""Pictures that are drawn or wait to be, at most."""

_Result = TypeVar("_Result")


class Drawing:
    """The thread that draws."""

    def __init__(self) -> None:
        self.waiting = 0
        self._thread = ThreadPoolExecutor(1, "s2id-drawing")

    async def call(self, work: Callable[[], _Result]) -> _Result:
        """The result of a function, called by the thread that draws.

        Raises:
            BusyError: Too many wait already.
        """
        if self.waiting >= _MOST:
            raise BusyError(2)
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1

    async def strips(self, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Parts of a file, each made when the client has taken the one before it."""
        while part := await self.call(lambda: next(parts, b"")):
            yield part

    def close(self) -> None:
        """End the thread after its present strip."""
        self._thread.shutdown(wait=False, cancel_futures=True)
