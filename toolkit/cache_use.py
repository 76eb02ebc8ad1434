"""What the cache did, for a reader: counts on the run's span, and a result on the asker's span."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from trading_graph.otel.trace import semconv

COUNTS = (
    "hits",
    "misses",
    "shared",
    "stale",
    "stale_errors",
    "negative",
    "stored",
    "refreshes",
    "failures",
    "evictions",
)
"""What is counted of each kind of data.

`stale` gets returned an old value while a new one was fetched (`refreshes`), `stale_errors` one
because its source could not be reached. `negative` gets met a cached absence; they count as hits
too. `stored` values came from the cache's file, once for all who asked meanwhile. `failures` are
loads that failed.
"""

HIT = "hit"
SHARED = "shared"
MISS = "miss"
STALE = "stale"

# One span may cover several gets; it shows the result that matters most to its reader.
_WEIGHT = {None: 0, HIT: 1, SHARED: 2, MISS: 3, STALE: 4}

_RUN: ContextVar[defaultdict[str, Counter[str]] | None] = ContextVar(
    "cache_counts_of_the_run", default=None
)


@contextmanager
def count_cache_use(span: Span) -> Iterator[Mapping[str, Counter[str]]]:
    """Write on the block's span what caches do for it: one event `cache` for each kind of data.

    The context tells runs that share a cache apart, so that each run counts its own use.
    """
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    token = _RUN.set(counts)
    try:
        yield counts
    finally:
        _RUN.reset(token)
        for kind, use in sorted(counts.items()):
            numbers = {f"{semconv.CACHE}.{name}": use[name] for name in COUNTS}
            span.add_event(semconv.CACHE_EVENT, {semconv.CACHE_KIND: kind, **numbers})


def count(kind: str, name: str) -> None:
    """Add one to a count of the run in which it happens."""
    if (run := _RUN.get()) is not None:
        run[kind][name] += 1


def show_on(span: Span, result: str, age_s: float | None = None) -> None:
    """Write a get's result on the asker's span: the weightiest one, and the oldest value's age."""
    if not isinstance(span, ReadableSpan):
        return  # it records nothing
    attributes: Mapping[str, Any] = span.attributes or {}
    before = attributes.get(semconv.CACHE)
    if _WEIGHT[result] > _WEIGHT[before]:
        span.set_attribute(semconv.CACHE, result)
    if age_s is not None and (before is None or age_s > attributes.get(semconv.CACHE_AGE_S, -1.0)):
        span.set_attribute(semconv.CACHE_AGE_S, round(age_s, 3))
