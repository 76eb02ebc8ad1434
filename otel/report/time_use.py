"""What spans did with their time, where that is recorded."""

from trading_graph.otel.diagnosis import Diagnosis, ranking_of
from trading_graph.otel.report.durations import brief
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import finite, witness

_PARTS = {
    witness.RUNNING_MS: "running",
    witness.READY_MS: "ready while its loop was busy with something else",
    witness.SOCKET_MS: "waiting for input or output",
    witness.TIMER_MS: "waiting for a timer",
    witness.CHILDREN_MS: "waiting for its own tasks",
    witness.WAIT_MS: "waiting for its turn",
    witness.IDLE_MS: "idle",
    witness.UNACCOUNTED_MS: "not accounted for",
}
_LEAST_SHARE = 0.01


def time_of_largest(diagnosis: Diagnosis) -> str:
    """A sentence on the span with most time of its own on the critical path; empty without one."""
    ranking = ranking_of(diagnosis)
    trace = ranking.trace
    if witness.RUNNING_MS not in trace.keys:
        return ""
    row = max(ranking.path.self_ns.items(), key=lambda item: item[1])[0]
    parts = time_use(trace, row)
    if not parts:
        return ""
    shares = ", ".join(f"{brief(seconds)} {words}" for seconds, words in parts)
    length_s = trace.lengths[row] / 1e9
    return f"The largest there is {trace.names[row]!r}, {brief(length_s)}: {shares}."


def time_use(trace: SpanTable, row: int) -> list[tuple[float, str]]:
    """What a span did with its time, in seconds, the most first; empty where that is unrecorded."""
    length_ms = trace.lengths[row] / 1e6
    attributes = trace.attributes(row)
    parts = [
        (time_ms / 1e3, words)
        for key, words in _PARTS.items()
        if (time_ms := finite(attributes.get(key))) and time_ms >= _LEAST_SHARE * length_ms
    ]
    return sorted(parts)[::-1]
