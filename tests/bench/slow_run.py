"""A run in which much is wrong: the trace on which the ranking of findings is measured.

Each phase has a fan-out whose branches run one after the other, with turns whose tools do so too,
requests that are asked for again, queued or retried, a pause, and one branch that takes much
longer than those beside it.
"""

from collections.abc import Iterator

from tests.bench.spans import AGENT, CHAT, FETCH, RUN, TOOL, span

PHASES = 4
_BRANCH_MS = 70
_POLES = 8


def slow_run(count: int) -> Iterator[dict[str, object]]:
    """The spans of a run with its phases; the root last, as it ends last."""
    branches = max((count - 1) // PHASES - 4 - _POLES, 8) // 8
    number, at = 2, 10
    for phase in range(PHASES):
        first, begin = number, at
        dispatch = number + 1
        yield span(
            dispatch, first, f"dispatch {phase}", at, at + 1, {"trading.operation": "dispatch"}
        )
        number += 2
        at += 2
        for branch in range(branches):
            yield from _branch(number, first, dispatch, at, phase, branch)
            number += 8
            at += _BRANCH_MS + 1
        at += branches * _BRANCH_MS // 6  # a pause
        length = branches * _BRANCH_MS // 20
        for pole in range(_POLES):
            end = at + length * (6 if pole == 0 else 1)
            yield span(number, first, f"agent p{phase}", at + pole, end, AGENT)
            number += 1
        at += 6 * length
        # Phases of one role would be a row that could run at once.
        kind = {"openinference.span.kind": "CHAIN"} if phase % 2 else {}
        yield span(first, 1, f"phase {phase}", begin, at, kind)
        at += 5
    root = {
        **RUN,
        "witness.spans_started": number - 1,
        "trading.chain.expected": count,
        "trading.latency.simulated": True,
        "trading.latency.chat_s": 0.01,
    }
    yield span(1, 0, "invoke_workflow bench", 0, at, root)


def _branch(
    number: int, parent: int, dispatch: int, at: int, phase: int, branch: int
) -> Iterator[dict[str, object]]:
    """An agent of eight spans: its tools, each with a fetch, run one after the other."""
    waits = {"witness.wait_ms": 3.0} if branch % 5 == 0 else {}
    fetch = {**FETCH, "trading.fetch.key": f"{branch % 50}", **waits}
    call = {**TOOL, "gen_ai.tool.call.id": f"call {number}"}
    yield span(number, parent, f"agent {phase}", at, at + _BRANCH_MS, AGENT, links=(dispatch,))
    yield span(number + 1, number, "chat model", at, at + 10, CHAT)
    yield span(number + 2, number, "execute_tool prices", at + 10, at + 40, call)
    yield span(number + 3, number + 2, "fetch yahoo", at + 11, at + 39, fetch)
    retry = branch % 7 == 0
    yield span(
        number + 4,
        number,
        "execute_tool news",
        at + 41,
        at + 50,
        {**call, "gen_ai.tool.call.id": f"call {number + 4}"},
    )
    yield span(
        number + 5,
        number + 4,
        "fetch news",
        at + 42,
        at + 49,
        {**FETCH, "trading.fetch.key": f"{number}"},
        retry_at_ms=at + 45 if retry else None,
    )
    yield span(number + 6, number, "chat model", at + 51, at + 68, CHAT)
    yield span(number + 7, number, "parse", at + 68, at + 69, {})
