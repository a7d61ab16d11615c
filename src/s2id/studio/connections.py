"""Connections that are closed when their client neither finishes a request nor reads its answer."""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS = 15.0
"""Time after which a connection is looked at again; one that has not moved since the last look is closed."""


class Connection(H11Protocol):
    """A connection of uvicorn's with a clock: uvicorn waits for slow headers, and for slow readers, for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override, unused-ignore]
        """Start the clock."""
        super().connection_made(transport)
        self._read, self._seen = 0, (-1, -1)
        self._clock = self.loop.call_later(SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._clock.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note that the client has read something of what waited for it."""
        self._read += 1
        super().resume_writing()

    def _look(self) -> None:
        """Close the connection if it waits for a request, or for its client to read, as it did the last time."""
        asked = self.cycle is not None and not self.cycle.response_complete
        now = id(self.cycle), self._read
        if now == self._seen and (not asked or self.flow.write_paused):
            self.transport.abort()
            return
        self._seen = now
        self._clock = self.loop.call_later(SECONDS, self._look)
