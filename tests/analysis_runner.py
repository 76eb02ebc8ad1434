"""Whole analyses against the offline model and the embedded data, with their traces read back."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tests.faulty_model import Fault, FaultyModel
from trading_graph.graph.analysis import Analysis, analyse, record_run
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.backends import open_backends
from trading_graph.graph.options import Options
from trading_graph.otel.export import TraceFile, set_up
from trading_graph.otel.sources import read
from trading_graph.otel.trace import SpanTable
from trading_graph.toolkit.as_of import AsOf

CHAT_S = 0.2
FETCH_S = 0.06

OPTIONS = Options(symbol="AAPL", as_of=AsOf.parse("2025-11-14"))
CHOICE = BackendChoice(chat_latency_s=CHAT_S, fetch_latency_s=FETCH_S)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: its analysis or its error, its trace, and what the offline model was asked."""

    analysis: Analysis | None
    error: BaseException | None
    trace: SpanTable
    requests: dict[str, int]

    @property
    def made(self) -> Analysis:
        """The analysis of a run that succeeded."""
        assert self.analysis is not None, self.error
        return self.analysis


class Runner:
    """Runs analyses; options and back ends are given as differences from the default."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = 0

    async def __call__(
        self,
        *,
        faults: tuple[Fault, ...] = (),
        choice: BackendChoice = CHOICE,
        during: Callable[[], None] | None = None,
        **options: object,
    ) -> Ran:
        """Run one analysis to its end, or to its error."""
        self._runs += 1
        path = self._folder / f"trace-{self._runs}.jsonl"
        asked = replace(OPTIONS, **options)  # type: ignore[arg-type]
        model = FaultyModel(latency_s=choice.chat_latency_s, faults=faults)
        telemetry = await asyncio.to_thread(set_up, "trading-graph", "test")
        trace_file = await asyncio.to_thread(TraceFile, path, telemetry.redactor)
        analysis: Analysis | None = None
        error: BaseException | None = None
        try:
            async with (
                open_backends(choice, model) as backends,
                record_run(asked, backends, telemetry.provider) as run,
            ):
                run.recording.listen(trace_file)
                if during is not None:
                    asyncio.get_running_loop().call_later(2.5 * CHAT_S, during)
                analysis = await analyse(asked, backends, run)
        except Exception as raised:
            error = raised
        await asyncio.to_thread(trace_file.close)
        await asyncio.to_thread(telemetry.shutdown)
        (trace,) = await asyncio.to_thread(read, path)
        return Ran(analysis, error, trace, dict(model.requests))
