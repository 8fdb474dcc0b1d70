"""Values that are kept while there is room for them."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteLRUCache(Generic[T]):
    """At most so many bytes of values, of which the least used leave first. Threads may share it."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """A kept value; None where it has left, or never came."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key][0]

    def put(self, key: Hashable, value: T, *, n_bytes: int) -> None:
        """Keep a value of so many bytes, in place of an earlier one; one that is larger than all
        room is not kept.
        """
        with self._lock:
            self._bytes += n_bytes - self._values.pop(key, (None, 0))[1]
            self._values[key] = value, n_bytes
            while self._bytes > self._most:
                self._bytes -= self._values.popitem(last=False)[1][1]
