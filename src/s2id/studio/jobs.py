"""Jobs: work that takes seconds, done one after another by one thread, whose events any number of clients follow.

Events are kept, so that a late client gets all of them; of the previews and positions that follow one another only the
newest. Before each call of torch, the thread looks whether a job is cancelled or has taken too long.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from secrets import token_urlsafe
from threading import Condition, Thread
from typing import Any

from s2id.errors import InputError

_LOG = logging.getLogger(__name__)

_KEPT = 100
"""Finished jobs whose events are kept."""

_WITH_PREVIEWS = 8
"""Finished jobs whose previews are kept too."""

_LAST = ("done", "failed", "cancelled")
"""Names of the events that end a job; the last is also its state."""


class CancelledError(Exception):
    """The job is not wanted any more."""


class BusyError(Exception):
    """Too many jobs wait."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"{seconds} s")
        self.seconds = seconds
        """Time after which another try may succeed."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    number: int
    """Number of the event among those of its job, from 1."""
    name: str
    data: dict[str, Any]

    @property
    def replaced(self) -> tuple[str, Any] | None:
        """What it has in common with earlier events that it makes superfluous."""
        return (self.name, self.data.get("index")) if self.name in ("queued", "preview") else None


class Job:
    """One piece of work and its events."""

    def __init__(self, work: Callable[["Job"], dict[str, Any]], seconds: float, size: int = 0) -> None:
        """A job that is still to be done.

        Args:
            work: What to do; it gives the data of the event `done`. `check` may leave it at each call of torch.
            seconds: Longest time that it may take.
            size: Bytes that it holds while it waits.
        """
        self.id, self.work, self.seconds, self.size = token_urlsafe(16), work, seconds, size
        self.state = "waiting"
        self.events: list[Event] = []
        self.cancelled = False
        self._number = 0
        self._until = float("inf")
        self._followers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def say(self, name: str, **data: Any) -> None:  # noqa: ANN401  (values of JSON)
        """Add an event, from any thread."""
        self._number += 1
        event = Event(self._number, name, data)
        kept = [one for one in self.events if event.replaced is None or one.replaced != event.replaced]
        self.events = [*kept, event]  # a new list, because others may be reading the old one
        for follower, loop in list(self._followers.items()):
            try:
                loop.call_soon_threadsafe(follower.set)
            except RuntimeError:  # the loop is closed
                self._followers.pop(follower, None)

    def check(self) -> None:
        """Leave the job if it is not wanted any more, or has taken too long.

        Raises:
            CancelledError: It was cancelled.
            InputError: It has taken too long.
        """
        if self.cancelled:
            raise CancelledError
        if time.monotonic() > self._until:
            raise InputError(f"this took more than {self.seconds:g} s and was stopped; ask for less at once.")

    def cancel(self) -> None:
        """Ask the job to stop: before it begins, or at its next call of torch."""
        self.cancelled = True

    async def follow(self, after: int = 0, idle: float = 15.0) -> AsyncIterator[Event | None]:
        """The job's events after one of a number, as they come; `None` whenever nothing has happened for a while."""
        woken = asyncio.Event()
        self._followers[woken] = asyncio.get_running_loop()
        try:
            while True:
                woken.clear()
                for event in [one for one in self.events if one.number > after]:
                    yield event
                    after = event.number
                    if event.name in _LAST:
                        return
                try:
                    await asyncio.wait_for(woken.wait(), idle)
                except TimeoutError:
                    yield None
        finally:
            self._followers.pop(woken, None)

    @property
    def followed(self) -> bool:
        """Whether any client follows the job."""
        return bool(self._followers)

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _LAST

    def run(self) -> None:
        """Do the work; whatever comes of it is an event."""
        self.state, self._until = "running", time.monotonic() + self.seconds
        start = time.perf_counter()
        try:
            self.check()
            from s2id.studio.midway import Midway  # which imports torch

            with Midway(self.check):
                data = self.work(self)
            self._end("done", seconds=round(time.perf_counter() - start, 3), **data)
        except Exception as error:
            self._left(error)

    def _left(self, error: Exception) -> None:
        """End without a result, and say why."""
        try:
            self.check()  # a library may have caught what `check` raised midway, and raised an error of its own
        except (CancelledError, InputError) as reason:
            error = reason
        if isinstance(error, CancelledError):
            self._end("cancelled")
        elif isinstance(error, InputError):
            self._end("failed", error=str(error))
        else:
            _LOG.error("a job failed", exc_info=error)
            self._end("failed", error="the studio made an error of its own, which its log describes; try another way.")

    def _end(self, name: str, **data: Any) -> None:  # noqa: ANN401  (values of JSON)
        self.work = lambda _: {}  # which frees what the work held
        self.state = name
        self.say(name, **data)


class Queue:
    """Jobs in the order in which they came, and the thread that does them one by one."""

    def __init__(self, limit: int, most_bytes: int) -> None:
        """An empty queue in which at most `limit` jobs wait, which hold at most so many bytes together."""
        self.limit, self.most_bytes = limit, most_bytes
        self.running: Job | None = None
        self._waiting: deque[Job] = deque()
        self._known: OrderedDict[str, Job] = OrderedDict()
        self._changed = Condition()
        self._closed = False
        self._took = 1.0  # seconds, of recent jobs
        self._thread = Thread(target=self._work, name="s2id-jobs", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Number of jobs that wait."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Let a job wait for its turn.

        Raises:
            BusyError: Too many wait already.
        """
        with self._changed:
            self._drop_cancelled()
            held = sum(one.size for one in self._waiting)
            full = len(self._waiting) >= self.limit or (held and held + job.size > self.most_bytes)
            if full or self._closed:
                raise BusyError(max(1, min(60, round(self._took * (len(self._waiting) + 1) / 2))))
            self._waiting.append(job)
            self._known[job.id] = job
            ended = [one for one in self._known.values() if one.ended]
            for old in ended[:-_KEPT]:
                del self._known[old.id]
            for old in ended[:-_WITH_PREVIEWS]:
                old.events = [event for event in old.events if event.replaced is None]
            job.say("queued", position=len(self._waiting) - (self.running is None))
            self._changed.notify()

    def get(self, name: str) -> Job | None:
        """The job of an id, if it is still known."""
        return self._known.get(name)

    def cancel(self, job: Job) -> None:
        """Take a job out of the queue, or stop it midway."""
        job.cancel()
        with self._changed:
            self._drop_cancelled()

    def close(self) -> None:
        """Cancel all jobs, and wait until the running one has stopped at its next step, but not for long."""
        with self._changed:
            self._closed = True
            for job in (*self._waiting, self.running):
                if job is not None:
                    job.cancel()
            self._drop_cancelled()
            self._changed.notify()
        self._thread.join(5)

    def _drop_cancelled(self) -> None:
        for job in [one for one in self._waiting if one.cancelled]:
            self._waiting.remove(job)
            job.run()  # which only says that it is cancelled

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                job = self.running = self._waiting.popleft()
                for position, one in enumerate((job, *self._waiting)):
                    one.say("queued", position=position)
            start = time.monotonic()
            job.run()
            self._took += (time.monotonic() - start - self._took) / 4
            self.running = None
