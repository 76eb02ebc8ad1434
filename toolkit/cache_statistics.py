"""What a cache has done: counts by kind of data, and over all; also of one run alone."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields

from opentelemetry.trace import Span

from trading_graph.otel.trace import semconv


@dataclass(frozen=True, slots=True)
class KindStatistics:
    """How the gets of one kind of data went, and what is held of it.

    `stale` gets took an old value while it was fetched anew (`refreshes`), `stale_errors` one
    because its source could not be reached. `negative` ones took the kept answer that a source has
    nothing; they count as hits too. `failures` are loads that failed. Bytes are approximate.
    """

    hits: int = 0
    misses: int = 0
    shared: int = 0
    stale: int = 0
    stale_errors: int = 0
    negative: int = 0
    refreshes: int = 0
    failures: int = 0
    evictions: int = 0
    entries: int = 0
    bytes: int = 0

    @property
    def hit_ratio(self) -> float:
        """The share of gets that did not wait for a load, 0 to 1; 0 where nothing was asked."""
        at_once = self.hits + self.stale
        asked = at_once + self.misses + self.shared
        return at_once / asked if asked else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics(KindStatistics):
    """The same over all kinds, and by kind."""

    by_kind: Mapping[str, KindStatistics]


_NAMES = tuple(field.name for field in fields(KindStatistics))

_HELD = ("entries", "bytes")


class CacheCounts:
    """Counts as they grow, in plain mappings, because every get writes one."""

    def __init__(self) -> None:
        self._by_kind: defaultdict[str, dict[str, int]] = defaultdict(
            lambda: dict.fromkeys(_NAMES, 0)
        )

    def add(self, kind: str, name: str) -> None:
        """Count what happened once more, for the run too that it happened in; names as above."""
        self._by_kind[kind][name] += 1
        if (run := _RUN.get()) is not None:
            run._by_kind[kind][name] += 1

    def hold(self, kind: str, entries: int, size: int) -> None:
        """Note that so many entries and bytes more are held, or fewer."""
        counts = self._by_kind[kind]
        counts["entries"] += entries
        counts["bytes"] += size

    @property
    def statistics(self) -> CacheStatistics:
        """The counts at this moment; may be asked from any thread."""
        by_kind = {kind: KindStatistics(**counts) for kind, counts in tuple(self._by_kind.items())}
        every = [asdict(each) for each in by_kind.values()]
        total = {name: sum(each[name] for each in every) for name in _NAMES}
        return CacheStatistics(**total, by_kind=by_kind)


_RUN: ContextVar[CacheCounts | None] = ContextVar("cache_counts_of_the_run", default=None)


@contextmanager
def counted_on(span: Span) -> Iterator[None]:
    """Write what caches do for the block on its span, one event `cache` a kind of data.

    Runs that share a cache are told apart by their context, so each counts what was done for it.
    """
    counts = CacheCounts()
    token = _RUN.set(counts)
    try:
        yield
    finally:
        _RUN.reset(token)
        for kind, done in sorted(counts.statistics.by_kind.items()):
            told = {name: number for name, number in asdict(done).items() if name not in _HELD}
            span.add_event(
                semconv.CACHE_EVENT,
                {
                    semconv.CACHE_KIND: kind,
                    **{f"{semconv.CACHE}.{name}": number for name, number in told.items()},
                },
            )
