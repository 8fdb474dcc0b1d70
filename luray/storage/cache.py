"""A cache of values that takes a bounded number of bytes."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    value: T
    n_bytes: int


class ByteLRUCache(Generic[T]):
    """Thread-safe LRU cache bounded by bytes.

    Parameters
    ----------
    most_bytes : int
        Bytes of all values together. When a value needs room, those used least recently leave.

    Examples
    --------
    >>> cache = ByteLRUCache(most_bytes=10)
    >>> cache.put("a", "first", n_bytes=6)
    >>> cache.put("b", "second", n_bytes=6)
    >>> cache.get("a"), cache.get("b")
    (None, 'second')
    """

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._n_bytes = 0
        self._entries: OrderedDict[Hashable, _Entry[T]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> T | None:
        """Return the value of a key; None where there is none, or it has left."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry.value

    def put(self, key: Hashable, value: T, *, n_bytes: int) -> None:
        """Store a value of `n_bytes` bytes in place of an earlier one.

        A value that is larger than the whole cache is not stored.
        """
        with self._lock:
            earlier = self._entries.pop(key, None)
            if earlier is not None:
                self._n_bytes -= earlier.n_bytes

            self._entries[key] = _Entry(value, n_bytes)
            self._n_bytes += n_bytes

            # the order of the dictionary is that of the last use; a value too large leaves last
            while self._n_bytes > self._most_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._n_bytes -= oldest.n_bytes

    def drop(self, key: Hashable) -> None:
        """Forget the value of a key, if there is one."""
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._n_bytes -= entry.n_bytes
