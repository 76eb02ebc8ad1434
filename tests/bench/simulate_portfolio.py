"""How long an evening of many tickers takes, and what it waits for, from measured runs.

    python tests/bench/simulate_portfolio.py [RUN ...] [--tickers 5000] [--at-once 20]
        [--requests 500] [--tokens 200000] [--call-s SECONDS]

RUN is a run's folder or a trace file; without any, one run of the offline model is made and
measured. Each ticker plays one of these runs: its agents in their order, the calls of each with
their tokens and durations, and the time between them. The clock is virtual, and the limits a
minute, which hold for each model, are kept by the limiter of real runs. What half as many again of
each resource would save is found by playing the first 500 tickers again.
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.virtual_time import VirtualTimeLoop, run_virtually
from trading_graph.graph.analysis import analyse, record_run
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import open_backends
from trading_graph.graph.chat import rate_limits
from trading_graph.graph.chat.rate_limits import ModelRate, RateLimits, in_words
from trading_graph.graph.options import Options
from trading_graph.otel.export import TraceFile, set_up
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.trace.structure.calls import calls
from trading_graph.otel.vocabularies import Role, witness
from trading_graph.service.run.folder import TRACE
from trading_graph.toolkit.as_of import AsOf

AS_OF = AsOf.parse("2025-11-14")
MORE = 1.5
"""How much more of a resource is tried."""
SPEED = "speed of the models (latency x chain)"
AT_ONCE = "runs at once"
SAMPLE = 500
"""The number of tickers with which more of a resource is tried."""
_LEAST_SHARE = 0.01
"""A resource of which more would save less than this share of the evening does not bind."""


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


@dataclass(frozen=True, slots=True)
class Evening:
    """What is played: so many tickers, some at once, under limits a minute by model."""

    scripts: tuple[Script, ...]
    tickers: int
    at_once: int
    limits: Mapping[str, RateLimits]

    @property
    def models(self) -> list[str]:
        """The models that are asked."""
        return sorted({call.model for script in self.scripts for call in script.calls})

    def all_scripts(self) -> list[Script]:
        """The script of each ticker."""
        return list(itertools.islice(itertools.cycle(self.scripts), self.tickers))

    def bounds(self) -> dict[str, float]:
        """What each resource alone makes the evening take at least, in seconds."""
        scripts = self.all_scripts()
        requests, tokens = Counter[str](), Counter[str]()
        for call in (call for script in scripts for call in script.calls):
            requests[call.model] += 1
            tokens[call.model] += call.tokens
        bounds = {AT_ONCE: sum(_alone_s(each) for each in scripts) / self.at_once}
        window_s = rate_limits.WINDOW_S
        for model, limits in self.limits.items():
            for what, used in (("requests", requests[model]), ("tokens", tokens[model])):
                if (most := getattr(limits, what)) is not None:
                    # The first minute's share is there at once, and the last may go in an instant.
                    bounds[f"{model}: {what} a minute"] = window_s * max(used / most - 1, 0)
        return bounds

    def with_more(self) -> "dict[str, Evening]":
        """The evening with half as many again of each resource."""
        evenings = {AT_ONCE: replace(self, at_once=round(self.at_once * MORE))}
        for model, limits in self.limits.items():
            for what in ("requests", "tokens"):
                if (most := getattr(limits, what)) is not None:
                    more = replace(limits, **{what: round(most * MORE)})
                    changed = {**self.limits, model: more}
                    evenings[f"{model}: {what} a minute"] = replace(self, limits=changed)
        faster = tuple(script.with_calls_shorter_by(MORE) for script in self.scripts)
        evenings[SPEED] = replace(self, scripts=faster)
        return evenings


def _alone_s(script: Script) -> float:
    """How long a run takes that waits for no limit."""
    ends: list[float] = []
    for agent in script.agents:
        begin = max((ends[n] for n in agent.after), default=0.0) + agent.lead_s
        ends.append(begin + sum(c.lead_s + c.seconds for c in agent.calls) + agent.rest_s)
    return max(ends, default=0.0) + script.rest_s


@dataclass(frozen=True, slots=True)
class Played:
    """How long the evening took, and what its runs waited for in all, in seconds."""

    seconds: float
    waited_s: Mapping[str, float]


def play(evening: Evening) -> Played:
    """Play an evening to its end, in virtual time."""
    return run_virtually(lambda loop: _play(evening, loop))


async def _play(evening: Evening, loop: VirtualTimeLoop) -> Played:
    rates = {model: ModelRate(limits, loop.time) for model, limits in evening.limits.items()}
    free = ModelRate(RateLimits(), loop.time)
    waited: defaultdict[str, float] = defaultdict(float)

    async def speak(call: Call) -> None:
        await asyncio.sleep(call.lead_s)
        since = loop.time()
        turn = await rates.get(call.model, free).turn(call.prompt)
        waited[call.model] += loop.time() - since
        await asyncio.sleep(call.seconds)
        turn.settle(call.tokens)

    async def work(agent: Agent, ends: Sequence[asyncio.Event], number: int) -> None:
        for before in agent.after:
            await ends[before].wait()
        await asyncio.sleep(agent.lead_s)
        for call in agent.calls:
            await speak(call)
        await asyncio.sleep(agent.rest_s)
        ends[number].set()

    async def worker(scripts: Iterator[Script]) -> None:
        for script in scripts:
            ends = [asyncio.Event() for _ in script.agents]
            await asyncio.gather(
                *(work(agent, ends, number) for number, agent in enumerate(script.agents))
            )
            await asyncio.sleep(script.rest_s)

    scripts = iter(evening.all_scripts())
    await asyncio.gather(*(worker(scripts) for _ in range(evening.at_once)))
    return Played(loop.time(), dict(waited))


def savings(evening: Evening) -> dict[str, float]:
    """The share of the evening that half as many again of each resource saves, the most first."""
    sample = replace(evening, tickers=min(evening.tickers, SAMPLE))
    seconds = play(sample).seconds
    shares = {name: 1 - play(other).seconds / seconds for name, other in sample.with_more().items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def binding(shares: Mapping[str, float]) -> str | None:
    """The resource of which more would save most; None where none would save anything.

    Faster models shorten any evening somewhat: they bind where nothing else does.
    """
    others = [name for name in shares if name != SPEED]
    for name in (max(others, key=shares.__getitem__), SPEED):
        if shares[name] >= _LEAST_SHARE:
            return name
    return None


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


def show(evening: Evening) -> None:
    """Print the inputs, the evening, and what binds."""
    print("Inputs")
    for script in evening.scripts:
        tokens = Counter[str]()
        for call in script.calls:
            tokens[call.model] += call.tokens
        parts = ", ".join(f"{number:,} of {model}" for model, number in sorted(tokens.items()))
        print(
            f"  a run of {script.wall_s:.1f} s, {_alone_s(script):.1f} s without limits: "
            f"{len(script.calls)} calls, tokens: {parts}"
        )
    print(f"  {evening.tickers:,} tickers, {evening.at_once} at once")
    for model, limits in evening.limits.items():
        print(f"  {model}: {limits.requests} requests, {limits.tokens} tokens a minute")
    began = time.perf_counter()
    played = play(evening)
    took_s = time.perf_counter() - began
    print(f"The evening takes {in_words(played.seconds)} (played in {took_s:.1f} s)")
    for model, seconds in sorted(played.waited_s.items()):
        print(f"  calls of {model} waited {seconds / evening.tickers:.1f} s a run for its limits")
    print("At least, by each resource alone")
    for name, seconds in sorted(evening.bounds().items(), key=lambda item: -item[1]):
        print(f"  {name:<40}{in_words(seconds):>14}{seconds / played.seconds:8.0%}")
    print("Half as many again would save")
    shares = savings(evening)
    for name, share in shares.items():
        words = in_words(share * played.seconds) if share >= _LEAST_SHARE else "nothing"
        print(f"  {name:<40}{words:>14}{share:8.0%}")
    print(f"It binds: {binding(shares) or 'nothing of these'}")


def main() -> None:
    """Read the command line, and play."""
    parser = argparse.ArgumentParser(description="An evening of many tickers.")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--tickers", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--requests", type=int, default=500, help="a minute, of each model")
    parser.add_argument("--tokens", type=int, default=200_000, help="a minute, of each model")
    parser.add_argument("--call-s", type=float, help="in place of the measured durations of calls")
    asked = parser.parse_args()
    scripts = [script for path in asked.runs for script in scripts_of(path)]
    if not asked.runs:
        print("Making one run of the offline model.")
        with tempfile.TemporaryDirectory() as folder:
            scripts = measure(Path(folder), BackendChoice(), ["AAPL"])
    if not scripts:
        sys.exit("There is no run with agents in these files.")
    if asked.call_s is not None:
        print(f"Each call takes {asked.call_s:g} s, whatever was measured.")
        scripts = [script.with_calls_of(asked.call_s) for script in scripts]
    evening = Evening(tuple(scripts), asked.tickers, asked.at_once, {})
    limits = dict.fromkeys(evening.models, RateLimits(asked.requests, asked.tokens))
    show(replace(evening, limits=limits))


if __name__ == "__main__":
    main()
