"""The span tree of one offline run, exactly."""

from collections import Counter

import pytest

from tests.analysis_runner import Runner
from trading_graph.otel.trace import ROOT, SpanTable, semconv
from trading_graph.toolkit import data_attributes

AGENTS = {
    "market_analyst": 2,
    "social_analyst": 2,
    "news_analyst": 2,
    "fundamentals_analyst": 2,
    "bull_researcher": 1,
    "bear_researcher": 1,
    "research_manager": 1,
    "trader": 1,
    "aggressive_risk_analyst": 1,
    "neutral_risk_analyst": 1,
    "conservative_risk_analyst": 1,
    "risk_judge": 1,
}
DEEP = {"research_manager", "trader", "risk_judge"}
TOOLS = {
    "market_analyst": {"get_prices": 2, "get_indicators": 1},
    "social_analyst": {"get_attention": 2},
    "news_analyst": {"get_company_events": 2, "get_insiders": 1, "get_macro": 1},
    "fundamentals_analyst": {
        "get_income_statement": 1,
        "get_balance_sheet": 1,
        "get_cash_flow": 1,
        "get_ratios": 1,
    },
}
DISPATCHED = {
    "dispatch analysts": list(TOOLS),
    "dispatch risk_team": [agent for agent in AGENTS if agent.endswith("_risk_analyst")],
}

INTERNAL, CLIENT = 1, 3


def path(trace: SpanTable, row: int) -> tuple[str, ...]:
    """The names from the root to a span."""
    names: list[str] = []
    while row != ROOT:
        names.append(trace.names[row])
        row = int(trace.parent[row])
    return tuple(reversed(names))


def expected_paths() -> Counter[tuple[str, ...]]:
    """Every span of the run but fetches, whose parent is whichever tool asked first."""
    root = "invoke_workflow trading_graph"
    paths = Counter({(root,): 1, (root, "aggregate reports"): 1})
    paths.update((root, dispatch) for dispatch in DISPATCHED)
    for agent, turns in AGENTS.items():
        model = "offline-deep" if agent in DEEP else "offline-quick"
        paths[(root, f"invoke_agent {agent}")] = 1
        paths[(root, f"invoke_agent {agent}", f"chat {model}")] = turns
        for tool, calls in TOOLS.get(agent, {}).items():
            paths[(root, f"invoke_agent {agent}", f"execute_tool {tool}")] = calls
    return paths


@pytest.mark.smoke
async def test_the_span_tree_of_an_offline_run(run_analysis: Runner) -> None:
    ran = await run_analysis()
    trace = ran.trace
    (root,) = trace.roots
    assert trace.orphans == []
    assert trace.attributes(root)[semconv.SPANS_STARTED] == len(trace)

    fetching = [
        row
        for row in range(len(trace))
        if trace.names[row] == "GET" or trace.names[row].startswith("fetch ")
    ]
    others = Counter(path(trace, row) for row in range(len(trace)) if row not in fetching)
    assert others == expected_paths()

    fetches = trace.rows("fetch ")
    assert Counter(trace.names[row] for row in fetches) == {
        "fetch yahoo_chart": 2,
        "fetch embedded_income": 1,
        "fetch embedded_balance": 1,
        "fetch embedded_cash_flow": 1,
        "fetch embedded_filings": 2,
        "fetch embedded_insiders": 1,
        "fetch embedded_macro": 6,
    }
    for row in fetches:
        assert trace.names[int(trace.parent[row])].startswith("execute_tool ")
        assert [trace.names[child] for child in trace.children(row)] == ["GET"]

    for row in range(len(trace)):
        name = trace.names[row]
        is_client = name == "GET" or name.startswith("chat ")
        assert trace.kind[row] == (CLIENT if is_client else INTERNAL), name
        assert trace.status[row] != 2, name
        assert trace.end[row] >= trace.start[row]


async def test_the_required_attributes_are_on_every_span(run_analysis: Runner) -> None:
    ran = await run_analysis()
    trace = ran.trace
    of_ours = {semconv.LOOP_LAG_MAX_MS, semconv.CPU_OVER_WALL, semconv.LOOP_ID}
    required = {
        "invoke_workflow ": {
            semconv.OPERATION_NAME,
            semconv.RUN_ID,
            data_attributes.SYMBOL,
            data_attributes.AS_OF,
            semconv.CHAIN_EXPECTED,
            semconv.SPANS_STARTED,
            semconv.RECORDS,
            semconv.WAITS,
            semconv.CLOCK,
            semconv.LATENCY_SIMULATED,
            data_attributes.DATA_MODE,
        },
        "dispatch ": {semconv.FANOUT_EXPECTED, semconv.NODE, semconv.STEP, semconv.TASK_ID},
        "invoke_agent ": {
            semconv.OPERATION_NAME,
            semconv.AGENT_NAME,
            semconv.PROVIDER_NAME,
            semconv.NODE,
            semconv.STEP,
            semconv.TASK_ID,
            semconv.ATTEMPT,
        },
        "chat ": {
            semconv.OPERATION_NAME,
            semconv.REQUEST_MODEL,
            semconv.RESPONSE_MODEL,
            semconv.RESPONSE_TIME_TO_FIRST_CHUNK,
            semconv.USAGE_INPUT_TOKENS,
            semconv.USAGE_OUTPUT_TOKENS,
            semconv.RESPONSE_FINISH_REASONS,
            semconv.TURN_INDEX,
            semconv.AGENT_NAME,
        },
        "execute_tool ": {
            semconv.OPERATION_NAME,
            semconv.TOOL_NAME,
            semconv.TOOL_CALL_ID,
            semconv.TOOL_ARGS_HASH,
            semconv.TURN_INDEX,
            semconv.CACHE,
        },
        "fetch ": {semconv.SOURCE, data_attributes.SYMBOL, data_attributes.AS_OF, semconv.ROWS},
    }
    for prefix, keys in required.items():
        rows = trace.rows(prefix)
        assert rows, prefix
        for row in rows:
            missing = (keys | of_ours) - trace.attributes(row).keys()
            assert not missing, f"{trace.names[row]} lacks {missing}"
    for row in trace.rows("GET"):
        attributes = trace.attributes(row)
        assert {"http.request.method", "url.full"} <= attributes.keys()
        assert "?" not in attributes["url.full"]


async def test_work_that_was_shared_is_told_from_work_that_was_done(run_analysis: Runner) -> None:
    """Five tools ask for AAPL's chart at about the same time: one fetches, the others say so."""
    ran = await run_analysis()
    trace = ran.trace
    results = Counter(trace.attributes(row)[semconv.CACHE] for row in trace.rows("execute_tool "))
    fetched_by = {int(trace.parent[row]) for row in trace.rows("fetch ")}
    assert results["miss"] == len(fetched_by)
    assert results["shared"] + results["hit"] == len(trace.rows("execute_tool ")) - len(fetched_by)


async def test_declared_fan_out_and_chain(run_analysis: Runner) -> None:
    ran = await run_analysis()
    trace = ran.trace
    for name, branches in DISPATCHED.items():
        (row,) = trace.rows(name)
        assert trace.attributes(row)[semconv.FANOUT_EXPECTED] == len(branches)
    (root,) = trace.roots
    assert trace.attributes(root)[semconv.CHAIN_EXPECTED] == 7
