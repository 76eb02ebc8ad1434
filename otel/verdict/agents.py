"""Time, LLM calls and tokens of a run by agent, and by node of a graph.

An agent is known by its role, a node by LangGraph's metadata. Spans of one name are one agent that
was visited several times. Each LLM call counts once, for the nearest agent or node above it.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.intervals import Interval, cover_ns
from trading_graph.otel.trace.memo import once_per_trace
from trading_graph.otel.trace.structure import calls, is_task
from trading_graph.otel.trace.structure.calls import nearest_above
from trading_graph.otel.vocabularies import Role, agent_name, tokens


class LlmUse(msgspec.Struct, frozen=True):
    """LLM calls, the time in seconds that they cover, and their tokens.

    Tokens are None where no call records them.
    """

    calls: int
    time_s: float
    input_tokens: int | None
    output_tokens: int | None


class AgentUse(msgspec.Struct, frozen=True):
    """What one agent or node took; times in seconds.

    `name` is the agent's, or else the node's or the span's. It is None for the LLM calls outside of
    every agent, which then count as visits. `wall_s` is the time that the visits cover, and `own_s`
    the part of it outside of the agents and nodes below them.
    """

    name: str | None
    visits: int
    wall_s: float
    own_s: float
    llm: LlmUse


class Use(msgspec.Struct, frozen=True):
    """The LLM calls of a whole run, and of each agent and node, the largest own time first.

    What only holds other agents or nodes is no entry of its own.
    """

    llm: LlmUse
    agents: tuple[AgentUse, ...]


_Key = tuple[str | None, str | None]
"""A name, before it that of the agent or node around it where it is a node: graphs of one program
often have nodes of the same name."""

_NAMELESS: _Key = (None, None)

_Tokens = tuple[int | None, int | None]
_UNKNOWN: _Tokens = (None, None)


class _Agent(msgspec.Struct):
    """The visits of an agent by row, and the agents and nodes directly below them."""

    visits: list[int] = msgspec.field(default_factory=list)
    inner: list[int] = msgspec.field(default_factory=list)
    llm: list[int] = msgspec.field(default_factory=list)


@once_per_trace
def use(trace: SpanTable, run: int) -> Use:
    """What the run at a row took, by agent and node; cached by row."""
    llm = calls(trace, run).llm
    said = _tokens(trace, run, llm)
    agents = _agents(trace, run, llm)
    nodes = defaultdict[str | None, int](int)
    for _, name in agents:
        nodes[name] += 1
    result = [
        _agent_use(trace, _shown(key, nodes[key[1]]), agent, said)
        for key, agent in agents.items()
        if agent.llm or not agent.inner
    ]
    result.sort(key=lambda each: (-each.own_s, -each.llm.time_s))
    return Use(_llm_use(trace, llm, said), tuple(result))


def _shown(key: _Key, of_one_name: int) -> str | None:
    around, name = key
    return f"{around} > {name}" if of_one_name > 1 and around and name else name


def _agents(trace: SpanTable, run: int, llm: Sequence[int]) -> dict[_Key, _Agent]:
    """The agents and nodes of a run by name, each LLM call with the nearest."""
    roles, tasks = trace.roles, trace.graph_tasks
    parents, below, agent = trace.parents, trace.child_rows, Role.AGENT
    agents = defaultdict[_Key, _Agent](_Agent)
    nearest: dict[int, _Key] = {}
    for row in trace.tree_rows(run):
        task, is_agent = tasks[row], roles[row] is agent
        if not (below[row] or is_agent or task):
            continue
        here = above = nearest.get(parents[row]) if row != run else None
        if is_agent:
            name = agent_name(trace.attributes(row))
            here = (None, name) if name else above or (None, trace.names[row])
        elif task is not None and task.node and is_task(trace, row, task):
            here = above and above[1], task.node
        # Several instrumentors record one visit, and all spans inside a task inherit its metadata.
        if here is not None and above is not None and here[1] == above[1]:
            here = above
        if here is not None:
            if here != above:
                agents[here].visits.append(row)
                if above is not None:
                    agents[above].inner.append(row)
            if below[row]:
                nearest[row] = here
    for row in llm:
        key = nearest.get(parents[row]) if row != run else None
        agents[key or _NAMELESS].llm.append(row)
        if key is None:
            agents[_NAMELESS].visits.append(row)
    return agents


def _agent_use(
    trace: SpanTable, name: str | None, agent: _Agent, said: dict[int, _Tokens]
) -> AgentUse:
    visits, inner = (_intervals(trace, rows) for rows in (agent.visits, agent.inner))
    return AgentUse(
        name=name,
        visits=len(agent.visits),
        wall_s=cover_ns(visits) / 1e9,
        own_s=(cover_ns([*visits, *inner]) - cover_ns(inner)) / 1e9,
        llm=_llm_use(trace, agent.llm, said),
    )


def _llm_use(trace: SpanTable, rows: Sequence[int], said: dict[int, _Tokens]) -> LlmUse:
    return LlmUse(
        calls=len(rows),
        time_s=cover_ns(_intervals(trace, rows)) / 1e9,
        input_tokens=_sum(said[row][0] for row in rows),
        output_tokens=_sum(said[row][1] for row in rows),
    )


def _tokens(trace: SpanTable, run: int, llm: Sequence[int]) -> dict[int, _Tokens]:
    """The tokens of each LLM call, or else those of the wrapper around it, which count once."""
    said = {row: tokens(trace.attributes(row)) for row in llm}
    silent = [row for row, each in said.items() if each == _UNKNOWN]
    if not silent:
        return said
    above = nearest_above(trace, run, Role.LLM)
    speaking = {above[row] for row, each in said.items() if each != _UNKNOWN}
    for row in silent:
        wrapper = above[row]
        if wrapper >= 0 and wrapper not in speaking:
            said[row] = tokens(trace.attributes(wrapper))
            speaking.add(wrapper)
    return said


def _sum(numbers: Iterable[int | None]) -> int | None:
    given = [number for number in numbers if number is not None]
    return sum(given) if given else None


def _intervals(trace: SpanTable, rows: Iterable[int]) -> list[Interval]:
    whole = [trace.intervals[row] for row in rows]
    return [(start, end) for start, end in whole if end > start]
