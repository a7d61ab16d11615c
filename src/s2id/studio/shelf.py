"""What the studio has made, by random names, in bounded memory: the least recently used is forgotten first."""

from collections import OrderedDict
from secrets import token_urlsafe
from threading import Lock
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")


class Shelf(Generic[_Thing]):
    """Things by name, of which the least recently used are forgotten when they take too many bytes.

    >>> shelf = Shelf[str](most=10)
    >>> first, second = shelf.put("one", 6), shelf.put("two", 6)
    >>> shelf.get(first), shelf.get(second), shelf.bytes
    (None, 'two', 6)
    """

    def __init__(self, most: int) -> None:
        """An empty shelf for things of `most` bytes together."""
        self.most, self.bytes = most, 0
        self._things: OrderedDict[str, tuple[_Thing, int]] = OrderedDict()
        self._lock = Lock()

    def put(self, thing: _Thing, size: int) -> str:
        """The random name under which a thing of a size in bytes is kept from now on."""
        name = token_urlsafe(16)
        with self._lock:
            self._things[name] = thing, size
            self.bytes += size
            while self.bytes > self.most and len(self._things) > 1:
                _, (_, freed) = self._things.popitem(last=False)
                self.bytes -= freed
        return name

    def get(self, name: str) -> _Thing | None:
        """The thing of a name; `None` if there is none any more."""
        with self._lock:
            if name not in self._things:
                return None
            self._things.move_to_end(name)
            return self._things[name][0]
