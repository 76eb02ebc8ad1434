"""Traces of programs that the witness recorded, drawn by hand; times are milliseconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from trading_graph.otel.trace import (
    NO_RESOURCE,
    Attributes,
    Event,
    SpanTable,
    SpanValues,
    TraceBuilder,
)
from trading_graph.otel.vocabularies import witness

MS = 1_000_000
BEGIN = 1_763_100_000 * 10**9
INTERNAL = 1

DECLARED = {
    witness.RECORDS: ["loop_lag", "cpu", "waits", "spans", "time"],
    witness.WAITS: ["semaphore", "lock", "executor"],
}
"""What the first span of a process says that it records."""

QUIET: Mapping[str, Any] = {
    witness.LOOP_LAG_MAX_MS: 1.0,
    witness.CPU_OVER_WALL: 0.05,
    witness.THREAD_ID: 1,
}
"""What every span of a program says that nothing holds up."""

CHAT = {"gen_ai.operation.name": "chat"}
AGENT = {"gen_ai.operation.name": "invoke_agent"}


def waited(kind: str, *places: tuple[float, float], sum_ms: float | None = None) -> dict[str, Any]:
    """The attributes of a span that waited there, in milliseconds after its start."""
    listed = sum(end - start for start, end in places)
    return {
        witness.WAIT_MS: listed if sum_ms is None else sum_ms,
        witness.WAIT_KIND: kind,
        witness.WAIT_OFFSETS_MS: [at for place in places for at in place],
    }


def blocked(start: float, duration: float, state: str = "sleeping", **more: Any) -> Event:
    """A block of the loop by a line of the program, unless `more` says otherwise."""
    said = {
        witness.BLOCKED_DURATION_MS: float(duration),
        witness.BLOCKED_STATE: state,
        witness.CODE_FILE: "/srv/app/tools/prices.py",
        witness.CODE_LINE: 31,
        witness.CODE_FUNCTION: "fetch",
        **more,
    }
    known = {key: value for key, value in said.items() if value is not None}
    return Event(witness.BLOCKED, BEGIN + int(start * MS), known)


@dataclass
class Watched:
    """A run in the making; the run's span has the id `run`, and spans are named by their ids."""

    spans: list[SpanValues] = field(default_factory=list)

    def add(
        self,
        name: str,
        start: float,
        end: float,
        said: Mapping[str, Any] = QUIET,
        *,
        parent: str = "run",
        events: Sequence[Event] = (),
        resource: Attributes = NO_RESOURCE,
    ) -> str:
        """Add a span, and return its id."""
        self.spans.append(
            SpanValues(
                span_id=name,
                parent_id=parent,
                name=name,
                kind=INTERNAL,
                start_ns=BEGIN + int(start * MS),
                end_ns=BEGIN + int(end * MS),
                status=0,
                attributes=partial(dict, said),
                events=partial(list, events),
                resource=resource,
            )
        )
        return name

    def trace(
        self,
        end: float,
        said: Mapping[str, Any] = DECLARED,
        events: Sequence[Event] = (),
        resource: Attributes = NO_RESOURCE,
    ) -> SpanTable:
        """The trace of the run, which ends at a time and says what it records."""
        self.add("run", 0, end, {**QUIET, **said}, parent="", events=events, resource=resource)
        return self.part()

    def part(self) -> SpanTable:
        """A trace of the spans so far alone, without a run's."""
        builder = TraceBuilder("e" * 32)
        for each in self.spans:
            builder.add(each)
        return builder.build()


def rows(trace: SpanTable, *names: str) -> tuple[int, ...]:
    """The rows of these spans, or of all but the run."""
    wanted = names or [each for each in trace.names if each != "run"]
    return tuple(sorted(trace.names.index(each) for each in wanted))
