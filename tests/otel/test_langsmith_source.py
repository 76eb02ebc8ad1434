"""Reading a trace from LangSmith, over a loopback server that speaks its API."""

import asyncio
import operator
import socket
import threading
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.tracers import LangChainTracer
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from langsmith import Client

from tests.langsmith_server import PAGE, LangSmithServer
from trading_graph.otel.diagnosis import Schedule, call_tree
from trading_graph.otel.diagnosis.critical_path import PathClass, by_class
from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources.langsmith_query import LangSmithQuery
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import CheckResult, Gate, Outcome, judge
from trading_graph.otel.vocabularies import Role

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
    assert trace.steps[call] == 2
    assert trace.attributes(tool)[semconv.ERROR_TYPE] == "ValueError"
    assert trace.status[tool] == 2
    assert "secret" not in str([trace.attributes(row) for row in range(len(trace))])
    assert server.keys == {"the-key"}


def test_the_time_of_the_first_token_divides_the_call_on_the_path(
    server: LangSmithServer, query: LangSmithQuery
) -> None:
    add(server, 0)
    add(server, 1, run_type="llm", first_token_time="2025-11-14T10:00:00.250001")
    trace = query.trace(TRACE.hex)
    assert trace is not None
    ns = by_class(Schedule(call_tree(trace, trace.roots[0])))
    assert ns[PathClass.FIRST_TOKEN] == 250_000_000
    assert ns[PathClass.GENERATION] == 750_002_000
    assert not ns[PathClass.LLM]


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
        (500, None, "answered HTTP 500"),
        (502, "<p>error 401 or 403: Forbidden</p>", "answered HTTP 502"),
        (200, "<html>welcome</html>", "does not answer as LangSmith does"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    server: LangSmithServer, query: LangSmithQuery, status: int, page: str | None, says: str
) -> None:
    add(server, 0)
    server.status, server.page = status, page
    with pytest.raises(TraceError, match=says) as raised:
        query.trace(TRACE.hex)
    assert "\n" not in str(raised.value)
    assert query.api_url in str(raised.value)


def test_nobody_there() -> None:
    with pytest.raises(TraceError, match=r"does not answer at http://127\.0\.0\.1:9;"):
        LangSmithQuery("http://127.0.0.1:9", "key").trace(TRACE.hex)


def test_somebody_who_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TraceError, match=f"does not answer at {url};"):
            LangSmithQuery(url, "key", timeout_s=0.05).trace(TRACE.hex)


def test_what_is_no_trace_id_is_not_asked_for(
    server: LangSmithServer, query: LangSmithQuery
) -> None:
    with pytest.raises(TraceError, match="no trace id of 32 hexadecimal digits"):
        query.trace("last")
    assert server.queries == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ValueError('a secret')Traceback", "ValueError"),
        ("openai.RateLimitError: a secret", "openai.RateLimitError"),
        ("CancelledError()", "CancelledError"),
        ("secret was refused", "_OTHER"),
        ("sk-secret", "_OTHER"),
        ("secret", "_OTHER"),
        ("(secret)", "_OTHER"),
        ("  ", "_OTHER"),
    ],
)
def test_an_error_is_named_and_never_quoted(
    server: LangSmithServer, query: LangSmithQuery, error: str, kind: str
) -> None:
    add(server, 0, error=error)
    trace = query.trace(TRACE.hex)
    assert trace is not None
    assert trace.status[0] == 2, "an error is one, whatever the run's status says"
    assert trace.attributes(0)[semconv.ERROR_TYPE] == kind


@pytest.mark.parametrize(
    "metadata",
    [None, ["langgraph_step"], {"langgraph_step": "secret", "langgraph_node": 1}],
    ids=["none", "a list", "of other types"],
)
def test_metadata_of_another_shape_is_left_out(
    server: LangSmithServer, query: LangSmithQuery, metadata: Any
) -> None:
    add(server, 0, extra={"metadata": metadata})
    trace = query.trace(TRACE.hex)
    assert trace is not None
    assert trace.attributes(0) == {semconv.LANGSMITH_SPAN_KIND: "chain"}


def test_times_with_a_zone_and_without_are_the_same_instant(
    server: LangSmithServer, query: LangSmithQuery
) -> None:
    """Without a zone it is UTC; a float of seconds would lose the microseconds."""
    add(server, 0, start_time="2025-11-14T10:00:00.123457")
    add(server, 1, start_time="2025-11-14T11:00:00.123457+01:00")
    trace = query.trace(TRACE.hex)
    assert trace is not None
    assert trace.start.tolist() == [1_763_114_400_123_457_000] * 2


def test_no_key_is_taken_from_the_environment(
    server: LangSmithServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key that is passed counts; None means no key."""
    monkeypatch.setenv("LANGSMITH_API_KEY", "another")
    with server.served() as url:
        LangSmithQuery(url, None).trace(TRACE.hex)
    assert server.keys == {None}


def test_reading_leaves_no_thread_behind(server: LangSmithServer) -> None:
    add(server, 0)
    before = set(threading.enumerate())
    with server.served() as url:
        LangSmithQuery(url, "key").trace(TRACE.hex)
    assert set(threading.enumerate()) <= before


# A LangGraph program that only LangSmith recorded, judged by what LangSmith stores.

NODES = ("market", "news")
GATE = Gate.from_toml(
    """
    version = 1

    [sets.nodes]
    name = ["market", "news"]

    [[checks]]
    id = "overlap"
    title = "The nodes run at once"
    relation = "overlap"
    set = "nodes"
    """,
    "the tests' gate",
)


class State(TypedDict):
    question: str
    done: Annotated[list[str], operator.add]


def node(name: str) -> Any:
    """Make a node that waits as if for a model; its type is as loose as LangGraph's."""

    async def run(state: State) -> dict[str, Any]:
        await asyncio.sleep(0.1)
        return {"done": [f"secret of {name}"]}

    return run


def program(parallel: bool) -> Any:
    """Build a dispatcher and two nodes that run at once, or one after the other."""

    async def dispatch(state: State) -> dict[str, Any]:
        return {}

    graph = StateGraph(State)
    graph.add_node("dispatch", dispatch)
    for name in NODES:
        graph.add_node(name, node(name))
    graph.add_edge(START, "dispatch")
    if parallel:
        graph.add_conditional_edges(
            "dispatch", lambda state: [Send(name, state) for name in NODES], list(NODES)
        )
        for name in NODES:
            graph.add_edge(name, END)
    else:
        for before, after in zip(("dispatch", *NODES), (*NODES, END), strict=True):
            graph.add_edge(before, after)
    return graph.compile()


def trace_of_graph(parallel: bool) -> SpanTable:
    """Run the program under LangSmith's tracer, and read its trace from the server."""
    run_id = uuid.uuid4()
    with LangSmithServer().served() as url:
        client = Client(api_url=url, api_key="key", tracing_mode="langsmith")
        try:
            asyncio.run(
                program(parallel).ainvoke(
                    {"question": "a secret", "done": []},
                    {"run_id": run_id, "callbacks": [LangChainTracer(client=client)]},
                )
            )
        finally:
            client.close()
        trace = LangSmithQuery(url, "key").trace(run_id.hex)
    assert trace is not None
    return trace


def overlap(trace: SpanTable) -> CheckResult:
    """Judge the nodes by a gate."""
    verdict = judge(trace, GATE)
    assert verdict.judged, verdict.missing
    (result,) = verdict.checks
    return result


@pytest.fixture(scope="module")
def parallel() -> SpanTable:
    return trace_of_graph(parallel=True)


@pytest.fixture(scope="module")
def serial() -> SpanTable:
    return trace_of_graph(parallel=False)


def test_nodes_sent_at_once_overlap_and_more_is_not_claimed(parallel: SpanTable) -> None:
    result = overlap(parallel)
    assert result.outcome is Outcome.PASS, result
    assert result.grade.startswith("overlapping, not proven"), "LangSmith records no loop lag"


def test_nodes_one_after_the_other_fail(serial: SpanTable) -> None:
    result = overlap(serial)
    assert result.outcome is Outcome.FAIL, result
    assert result.grade.startswith("serial"), result


def test_the_tree_and_the_steps_are_langgraphs(parallel: SpanTable, serial: SpanTable) -> None:
    """Nodes sent at once share a superstep under the graph's run; chained ones have one each."""
    for trace, steps in ((parallel, {2}), (serial, {2, 3})):
        (root,) = trace.roots
        rows = [row for name in NODES for row in trace.rows(name)]
        assert {int(trace.parent[row]) for row in rows} == {root}
        tasks = [task for row in rows if (task := trace.graph_tasks[row])]
        assert [task.node for task in tasks] == list(NODES)
        assert {task.step for task in tasks} == steps
        # What else LangGraph says of a task comes along: graph_task needs it all.
        assert all(task.triggers and task.path for task in tasks)
        assert [task.namespace.partition(":")[0] for task in tasks] == list(NODES)
        assert (trace.end > trace.start).all()


def test_what_the_nodes_were_given_and_said_stays_there(parallel: SpanTable) -> None:
    assert "secret" not in str([parallel.attributes(row) for row in range(len(parallel))])
