"""The language in which advice is given: that of the program that was judged."""

from enum import StrEnum

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import Language, language


class Dialect(StrEnum):
    """A way of running things at once, with words and code of its own."""

    LANGGRAPH = "LangGraph"
    ASYNCIO = "asyncio"
    NODE = "Node"
    THREADS = "threads"
    NEUTRAL = "any"

    @property
    def has_loop(self) -> bool:
        """Whether an event loop can be blocked; where the language is unknown, it can."""
        return self is not Dialect.THREADS


_OF_LANGUAGE = {
    Language.PYTHON: Dialect.ASYNCIO,
    Language.NODE: Dialect.NODE,
    Language.GO: Dialect.THREADS,
    Language.JAVA: Dialect.THREADS,
    Language.DOTNET: Dialect.THREADS,
}


def dialect(trace: SpanTable, row: int) -> Dialect:
    """The dialect of the program that made a span."""
    spoken = language(trace.resources[row])
    if spoken in (None, Language.PYTHON) and any(trace.graph_tasks):
        return Dialect.LANGGRAPH
    return _OF_LANGUAGE.get(spoken, Dialect.NEUTRAL) if spoken else Dialect.NEUTRAL
