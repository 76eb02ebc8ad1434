"""What the span that takes most of the critical path did with its time, where that is recorded."""

from trading_graph.otel.diagnosis import Diagnosis, ranking_of
from trading_graph.otel.report.durations import brief
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
    length_ms = trace.lengths[row] / 1e6
    parts = [
        (time_ms, words)
        for key, words in _PARTS.items()
        if (time_ms := finite(trace.attributes(row).get(key)))
        and time_ms >= _LEAST_SHARE * length_ms
    ]
    if not parts:
        return ""
    said = ", ".join(f"{brief(time_ms / 1e3)} {words}" for time_ms, words in sorted(parts)[::-1])
    return f"The largest there is {trace.names[row]!r}, {brief(length_ms / 1e3)}: {said}."
