"""Measured runs as scripts: the agents in their order, their calls, and the time between them."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import open_backends
from trading_graph.graph.options import Options
from trading_graph.otel.export import TraceFile, set_up
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.structure.calls import calls
from trading_graph.otel.vocabularies import Role, witness
from trading_graph.service.run.folder import TRACE
from trading_graph.toolkit.as_of import AsOf

AS_OF = AsOf.parse("2025-11-14")


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a model: the time before it, what it takes, and its tokens in and out."""

    lead_s: float
    model: str
    seconds: float
    prompt: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent: which agents have to end first, the time from then on, its calls, and its rest."""

    after: tuple[int, ...]
    lead_s: float
    calls: tuple[Call, ...]
    rest_s: float


@dataclass(frozen=True, slots=True)
class Script:
    """A measured run: its agents, and the time after the last of them."""

    agents: tuple[Agent, ...]
    rest_s: float
    wall_s: float

    @property
    def calls(self) -> list[Call]:
        """All calls of the run."""
        return [call for agent in self.agents for call in agent.calls]

    @property
    def alone_s(self) -> float:
        """How long the run takes if it waits for no limit."""
        ends: list[float] = []
        for agent in self.agents:
            begin = max((ends[n] for n in agent.after), default=0.0) + agent.lead_s
            ends.append(begin + sum(c.lead_s + c.seconds for c in agent.calls) + agent.rest_s)
        return max(ends, default=0.0) + self.rest_s

    def with_calls_of(self, seconds: float) -> "Script":
        """The same with calls that take so long."""
        return self._changed(lambda call: seconds)

    def with_calls_shorter_by(self, factor: float) -> "Script":
        """The same with faster models."""
        return self._changed(lambda call: call.seconds / factor)

    def _changed(self, seconds_of: Callable[[Call], float]) -> "Script":
        agents = [
            replace(
                agent,
                calls=tuple(replace(call, seconds=seconds_of(call)) for call in agent.calls),
            )
            for agent in self.agents
        ]
        return replace(self, agents=tuple(agents))


def script_of(trace: SpanTable, run: int) -> Script:
    """A run as a script: an agent waits for those that had ended when it began."""
    rows = sorted(trace.of_role(Role.AGENT, run), key=lambda row: int(trace.start[row]))
    by_agent: defaultdict[int, list[int]] = defaultdict(list)
    for row in calls(trace, run).llm:
        by_agent[next(above for above in trace.ancestors(row) if above in {*rows})].append(row)
    agents = []
    for row in rows:
        begin, end = trace.intervals[row]
        after = tuple(n for n, each in enumerate(rows) if trace.intervals[each][1] <= begin)
        since = max((trace.intervals[rows[n]][1] for n in after), default=trace.intervals[run][0])
        spoken, at = [], begin
        for call in by_agent[row]:
            start, stop = trace.intervals[call]
            spoken.append(_call(trace, call, max(start - at, 0) / 1e9))
            at = max(at, stop)
        agents.append(Agent(after, (begin - since) / 1e9, tuple(spoken), (end - at) / 1e9))
    start, stop = trace.intervals[run]
    last = max(trace.intervals[row][1] for row in rows)
    return Script(tuple(agents), max(stop - last, 0) / 1e9, (stop - start) / 1e9)


def _call(trace: SpanTable, row: int, lead_s: float) -> Call:
    """A call without its wait for the limit a minute, which the evening makes anew."""
    said = trace.attributes(row)
    wait_ms = 0.0
    if said.get(witness.WAIT_KIND) == witness.Wait.RATE_LIMIT:
        wait_ms = trace.read(witness.wait_ms, row) or 0.0
    # What is expected of a prompt is told from its length, which the trace does not have.
    prompt = int(trace.number(row, semconv.USAGE_INPUT_TOKENS) or 0)
    answer = int(trace.number(row, semconv.USAGE_OUTPUT_TOKENS) or 0)
    model = str(said.get(semconv.REQUEST_MODEL))
    seconds = max(trace.lengths[row] / 1e9 - wait_ms / 1e3, 0.0)
    return Call(lead_s, model, seconds, prompt, prompt + answer)


def scripts_of(path: Path) -> list[Script]:
    """The runs in a folder or a trace file."""
    file = path / TRACE if path.is_dir() else path
    return [
        script_of(trace, run)
        for trace in read(file)
        for run in trace.of_role(Role.RUN)
        if trace.of_role(Role.AGENT, run)
    ]


def measure(folder: Path, choice: BackendChoice, symbols: Sequence[str]) -> list[Script]:
    """Make a run of each symbol, one after the other, and read them back."""
    path, telemetry = folder / TRACE, set_up("bench", "0")
    trace_file = TraceFile(path, telemetry.redactor)

    async def run() -> None:
        async with open_backends(choice) as backends:
            for symbol in symbols:
                options = Options(symbol, AS_OF)
                opened = record_run(options, backends, telemetry.provider, listeners=[trace_file])
                async with opened as span:
                    await analyse(options, backends, span)

    asyncio.run(run())
    trace_file.close()
    telemetry.shutdown()
    return scripts_of(path)
