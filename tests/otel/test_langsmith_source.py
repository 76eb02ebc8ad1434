"""Reading a trace from LangSmith, over a loopback server that speaks its API."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from otel.errors import TraceError
from otel.sources.langsmith import LangSmithQuery
from otel.trace import semconv
from otel.trace.kinds import Role
from tests.langsmith_server import PAGE, LangSmithServer

TRACE = uuid.UUID("019a9b1c-2d3e-7f40-a1b2-c3d4e5f60718")


@pytest.fixture
def server() -> LangSmithServer:
    return LangSmithServer()


@pytest.fixture
def query(server: LangSmithServer) -> Iterator[LangSmithQuery]:
    with server.served() as url:
        yield LangSmithQuery(url, "the-key")


def add(server: LangSmithServer, number: int, **fields: Any) -> str:
    """Store a run; number 0 is the root."""
    run_id = str(TRACE if number == 0 else uuid.UUID(int=number))
    server.runs[run_id] = {
        "id": run_id,
        "trace_id": str(TRACE),
        "parent_run_id": None if number == 0 else str(TRACE),
        "name": f"run {number}",
        "run_type": "chain",
        "start_time": "2025-11-14T10:00:00.000001",
        "end_time": "2025-11-14T10:00:01.000003",
        "dotted_order": f"{number}",
        "inputs": {"question": "a secret"},
        "outputs": {"answer": "a secret"},
        **fields,
    }
    return run_id


def test_runs_become_spans(server: LangSmithServer, query: LangSmithQuery) -> None:
    add(server, 0)
    add(
        server,
        1,
        name="ChatOpenAI",
        run_type="llm",
        prompt_tokens=3,
        completion_tokens=4,
        extra={"metadata": {"langgraph_step": 2, "langgraph_node": "market", "user": "a secret"}},
    )
    add(server, 2, name="prices", run_type="tool", error="ValueError('a secret')", status="error")
    trace = query.trace(TRACE.hex)
    assert trace is not None
    assert trace.trace_id == TRACE.hex
    (root,) = trace.roots
    assert sorted(trace.names[row] for row in trace.children(root)) == ["ChatOpenAI", "prices"]
    assert int(trace.duration[root]) == 1_000_002_000
    assert int(trace.start[root]) % 1_000_000_000 == 1000
    (call,) = trace.rows("ChatOpenAI")
    (tool,) = trace.rows("prices")
    assert (trace.roles[call], trace.roles[tool]) == (Role.LLM, Role.TOOL)
    assert trace.attributes(call)[semconv.USAGE_INPUT_TOKENS] == 3
    assert trace.attributes(call)[semconv.STEP] == 2
    assert trace.attributes(tool)[semconv.ERROR_TYPE] == "ValueError"
    assert trace.status[tool] == 2
    assert "secret" not in str([trace.attributes(row) for row in range(len(trace))])
    assert server.keys == {"the-key"}


def test_more_runs_than_a_page(server: LangSmithServer, query: LangSmithQuery) -> None:
    for number in range(2 * PAGE + 5):
        add(server, number)
    trace = query.trace(TRACE.hex)
    assert trace is not None
    assert len(trace) == 2 * PAGE + 5
    assert server.queries == 3


def test_a_run_that_has_not_ended_is_open(server: LangSmithServer, query: LangSmithQuery) -> None:
    add(server, 0, end_time=None)
    trace = query.trace(TRACE.hex)
    assert trace is not None
    assert trace.end[0] == 0


def test_an_unknown_trace_is_none(query: LangSmithQuery) -> None:
    assert query.trace(TRACE.hex) is None


@pytest.mark.parametrize(
    ("status", "page", "says"),
    [
        (401, None, "refused the key; check LANGSMITH_API_KEY"),
        (403, None, "refused the key; check LANGSMITH_API_KEY"),
        (500, None, "failed"),
        (200, "<html>welcome</html>", "does not answer as LangSmith does"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    server: LangSmithServer, query: LangSmithQuery, status: int, page: str | None, says: str
) -> None:
    add(server, 0)
    server.status, server.page = status, page
    with pytest.raises(TraceError, match=says) as caught:
        query.trace(TRACE.hex)
    assert "\n" not in str(caught.value)
    assert query.api_url in str(caught.value)


def test_nobody_there(query: LangSmithQuery) -> None:
    with pytest.raises(TraceError, match="does not answer"):
        LangSmithQuery("http://127.0.0.1:9", "key").trace(TRACE.hex)
