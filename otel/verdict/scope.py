"""What a gate looks at: the spans of one run, and the named sets among them."""

from collections.abc import Mapping

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict.gate import SpanSet


class Scope:
    """A run's spans in order of start; each set is picked once, however many checks name it.

    `recorded` is how many spans the trace came with, where that is more than is looked at.
    """

    def __init__(
        self, trace: SpanTable, run: int, sets: Mapping[str, SpanSet], recorded: int | None = None
    ) -> None:
        self.trace = trace
        self.run = run
        self.recorded = len(trace) if recorded is None else recorded
        self._sets = sets
        self._rows = trace.below(run)
        self._selected: dict[str, list[int]] = {}

    def select(self, spans: str | SpanSet) -> list[int]:
        """The rows of a set, given itself or by name, in order of start."""
        if isinstance(spans, SpanSet):
            return spans.select(self.trace, self.run, self._rows)
        if spans not in self._selected:
            self._selected[spans] = self._sets[spans].select(self.trace, self.run, self._rows)
        return self._selected[spans]
