"""Programs of branches as real LangGraph graphs: run on a virtual clock, and their spans."""

import asyncio
import json
import operator
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, TypedDict
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send

from tests.otel.structure.branching import Dispatch, Join, Moment, Program, Section, Visit
from tests.otel.structure.virtual_clock import now_ns, run_virtually
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder


class _State(TypedDict):
    done: Annotated[list[str], operator.add]


def run(program: Program) -> tuple[SpanTable, float]:
    """The trace of a program, and how long it took in seconds."""
    recorder = _Recorder()
    config: RunnableConfig = {"callbacks": [recorder], "recursion_limit": 200}
    if program.max_concurrency:
        config["max_concurrency"] = program.max_concurrency
    graph = _Graph(program).compile()
    seconds = run_virtually(graph.ainvoke({"done": []}, config))
    return recorder.trace(), seconds


class _Recorder(AsyncCallbackHandler):
    """Records each run of LangChain's as a span, with its metadata as OpenInference has it."""

    def __init__(self) -> None:
        self._open: dict[UUID, tuple[str, str, int, str]] = {}
        self._builder = TraceBuilder("0" * 31 + "1")

    async def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        parent = parent_run_id.hex if parent_run_id else ""
        said = json.dumps(metadata or {}, default=str)
        self._open[run_id] = (parent, kwargs.get("name") or "run", now_ns(), said)

    async def on_chain_end(
        self,
        outputs: dict[str, Any],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        parent, name, start_ns, metadata = self._open.pop(run_id)
        said = {"openinference.span.kind": "CHAIN", "metadata": metadata}
        self._builder.add(
            SpanValues(run_id.hex, parent, name, 1, start_ns, now_ns(), 1, lambda: said)
        )

    def trace(self) -> SpanTable:
        """The trace of all runs that ended."""
        assert not self._open
        return self._builder.build()


class _Graph:
    """A program as a graph of LangGraph's."""

    def __init__(self, program: Program) -> None:
        self._program = program
        # What each node does in each of its visits, and where it goes on then.
        self._visits: dict[str, list[tuple[Visit, tuple[Any, ...]]]] = defaultdict(list)
        self._targets: dict[str, tuple[Any, ...]] = {}
        self._joins: list[tuple[list[str], str]] = []
        self._deferred: set[str] = set()
        for section, after in zip(program.sections, [*program.sections[1:], None], strict=True):
            self._plan(section, after)

    def compile(self) -> Any:
        """The graph, ready to run."""
        graph = StateGraph(_State)
        for node, visits in self._visits.items():
            inner = visits[0][0].inner
            work = self._work(node)
            if inner is not None and self._is_static(node):
                work = _Graph(inner).compile()
            graph.add_node(node, work, defer=node in self._deferred)
        first = self._program.sections[0]
        heads = _heads(first)
        if first.dispatch is Dispatch.SEND:

            async def send(state: _State) -> list[Send]:
                return [Send(node, state) for node in heads]

            graph.add_conditional_edges(START, send)
        else:
            for node in dict.fromkeys(heads):
                graph.add_edge(START, node)
        for node in self._visits:
            self._connect(graph, node)
        for before, after in self._joins:
            graph.add_edge(before, after)
        return graph.compile()

    def _plan(self, section: Section, after: Section | None) -> None:
        lists = section.join is Join.LIST
        lasts: list[str] = []
        for branch in section.branches:
            for place, moment in enumerate(branch):
                is_last = place + 1 == len(branch)
                targets: tuple[Any, ...] = () if is_last else _nodes(branch[place + 1])
                if section.by_send:
                    targets = _sends(targets)
                if is_last:
                    lasts += _nodes(moment)
                elif lists and len(moment) > 1:
                    self._joins += [(list(_nodes(moment)), target) for target in targets]
                    targets = ()
                if is_last and after is not None and not (lists and len(section.branches) > 1):
                    targets = tuple(_heads(after))
                    if after.dispatch is Dispatch.SEND:
                        targets = _sends(targets)
                for visit in moment:
                    self._visits[visit.node].append((visit, targets))
        if after is not None and len(section.branches) > 1:
            if lists:
                self._joins += [(lasts, node) for node in _heads(after)]
            elif section.join is Join.DEFERRED:
                self._deferred.update(_heads(after))

    def _is_static(self, node: str) -> bool:
        """Whether a node goes on to the same nodes in every visit."""
        every = [targets for _, targets in self._visits[node]]
        sends = any(isinstance(target, Send) for target in every[0])
        return not sends and all(targets == every[0] for targets in every)

    def _connect(self, graph: Any, node: str) -> None:
        if self._is_static(node):
            _, targets = self._visits[node][0]
            inner = self._visits[node][0][0].inner
            if inner is not None or not self._program.by_command:
                for target in dict.fromkeys(targets):
                    graph.add_edge(node, target)
        elif not self._program.by_command:

            async def route(state: _State) -> list[Any]:
                return list(self._targets[node]) or [END]

            graph.add_conditional_edges(node, route)

    def _work(self, node: str) -> Any:
        pending = iter(self._visits[node])

        async def work(state: _State, config: RunnableConfig) -> Any:
            visit, targets = next(pending)
            self._targets[node] = targets
            if visit.inner is not None:
                await _Graph(visit.inner).compile().ainvoke({"done": []}, config)
            else:
                await asyncio.sleep(visit.seconds)
            if self._program.by_command:
                return Command(goto=list(targets), update={"done": [node]})
            return {"done": [node]}

        return work


def _nodes(moment: Moment) -> tuple[str, ...]:
    return tuple(visit.node for visit in moment)


def _sends(nodes: Sequence[str]) -> tuple[Send, ...]:
    return tuple(Send(node, {"done": []}) for node in nodes)


def _heads(section: Section) -> Sequence[str]:
    return [visit.node for branch in section.branches for visit in branch[0]]
