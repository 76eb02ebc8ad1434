"""Calls that were made again, and answers that said that there were too many.

A retry is an event `retry` of the span that holds all attempts, or a request that says how often it
was sent before. What follows a redirect is no retry, although it counts as a resend.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from trading_graph.otel.trace import Attributes, SpanTable, semconv
from trading_graph.otel.vocabularies import Role, http_status, resend_count

TOO_MANY_REQUESTS = 429

_RATE_LIMITS = frozenset({"RateLimitError", "TooManyRequests", "ResourceExhausted", "429"})
"""What clients call an answer 429: the class of the error, or its status."""


class Retry(msgspec.Struct, frozen=True):
    """A span whose call was made again so many times.

    `before` is the attempt before it where that is a span of its own; otherwise the span at `row`
    holds all attempts.
    """

    row: int
    times: int
    before: int | None = None


def retries_of(trace: SpanTable, rows: Iterable[int]) -> list[Retry]:
    """The retries among some spans in order of start."""
    roles, retried, http = trace.roles, trace.retried, Role.HTTP
    if not retried and not trace.of_role(http):
        return []
    result: list[Retry] = []
    requests: list[int] = []
    for row in rows:
        if row in retried:
            times = sum(event.name == "retry" for event in trace.events(row))
            result.append(Retry(row, times))
        elif roles[row] is http:
            requests.append(row)
    resends = {row: count for row in requests if (count := trace.read(resend_count, row))}
    if resends:
        families: dict[tuple[int, str], list[int]] = defaultdict(list)
        for row in requests:
            families[trace.parents[row], trace.names[row]].append(row)
        for (parent, _), family in families.items():
            if parent not in retried:
                result += _resends(trace, family, resends)
    return sorted(result, key=lambda each: each.row)


def _resends(
    trace: SpanTable, family: Sequence[int], resends: Mapping[int, int]
) -> Iterator[Retry]:
    """The requests of one parent and one name that were sent before."""
    earlier: dict[int, list[int]] = defaultdict(list)
    for row in family:
        count = resends.get(row, 0)
        attempts = earlier[count - 1]
        before = attempts.pop() if attempts else None
        if before is not None and not _is_redirect(trace, before):
            yield Retry(row, 1, before)
        elif before is None and count:
            yield Retry(row, count)
        earlier[count].append(row)


def _is_redirect(trace: SpanTable, row: int) -> bool:
    return (trace.read(http_status, row) or 0) // 100 == 3


def too_many_requests(trace: SpanTable, rows: Iterable[int]) -> str:
    """A clause that names the answers 429 among some attempts, each once on its way up; or "".

    An attempt is a span, or an event `retry` of a span that holds all attempts.
    """
    among = set(rows)
    said = {row for row in among if trace.read(http_status, row) == TOO_MANY_REQUESTS}
    events = {row: _limited_retries(trace, row) for row in among & trace.retried}
    passed_on = set()
    for row in said | {row for row, times in events.items() if times}:
        above = trace.parents[row]
        while above >= 0 and above not in passed_on:
            passed_on.add(above)
            above = trace.parents[above]
    count = len(said - passed_on)
    count += sum(times for row, times in events.items() if row not in passed_on)
    if not count:
        return ""
    return f"{count} {'answer was' if count == 1 else 'answers were'} 429 Too Many Requests"


def _limited_retries(trace: SpanTable, row: int) -> int:
    """How many retries of a span were after an answer 429, as their events say."""
    return sum(_is_limit(event.attributes) for event in trace.events(row) if event.name == "retry")


def _is_limit(attributes: Attributes) -> bool:
    status = http_status(attributes)
    if status is not None:
        return status == TOO_MANY_REQUESTS
    kind = attributes.get(semconv.ERROR_TYPE)
    return isinstance(kind, str) and kind.rpartition(".")[2] in _RATE_LIMITS
