"""What a cache holds: values or known absences, bounded by number and by approximate bytes."""

import datetime
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from trading_graph.toolkit.cache_statistics import CacheCounts
from trading_graph.toolkit.errors import NoData, UnknownSymbol


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What is cached: a kind of data, from a source, for a symbol, as of a day, with parameters."""

    kind: str
    source: str
    symbol: str = ""
    as_of: datetime.date | None = None
    params: tuple[Hashable, ...] = ()

    def __str__(self) -> str:
        """The key in words, for messages."""
        return " ".join(str(part) for part in (self.kind, self.symbol, self.as_of) if part)


@dataclass(slots=True, eq=False)
class Entry:
    """A value, or the error that says there is none, and until when it may be served how.

    `try_again_at`: a load for it has failed, and until then no other is started.
    """

    value: Any
    error: UnknownSymbol | NoData | None
    size: int
    stored_at: float
    fresh_until: float
    revalidate_until: float
    if_error_until: float
    try_again_at: float = 0.0


class LeastRecentlyUsed:
    """Entries by key; where there are too many, the least recently used goes first."""

    def __init__(self, max_entries: int, max_bytes: int, counts: CacheCounts) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._counts = counts
        self._entries: OrderedDict[CacheKey, Entry] = OrderedDict()
        self._bytes = 0

    def find(self, key: CacheKey) -> Entry | None:
        """The entry of a key, fresh or not."""
        return self._entries.get(key)

    def used(self, key: CacheKey) -> None:
        """Note that an entry was of use."""
        self._entries.move_to_end(key)

    def put(self, key: CacheKey, entry: Entry) -> None:
        """Hold an entry, in place of an older one; what is larger than the whole is not held."""
        self.drop(key)
        if entry.size > self._max_bytes:
            return
        self._entries[key] = entry
        self._count(key, 1, entry.size)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            oldest = next(iter(self._entries))
            self.drop(oldest)
            self._counts.add(oldest.kind, "evictions")

    def drop(self, key: CacheKey) -> None:
        """Forget an entry, if there is one."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._count(key, -1, -entry.size)

    def _count(self, key: CacheKey, entries: int, size: int) -> None:
        self._bytes += size
        self._counts.hold(key.kind, entries, size)
