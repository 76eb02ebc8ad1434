"""`trading-graph run`: one analysis from the words of the command line to the exit code."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from toolkit.as_of import AsOf
from toolkit.symbols import parse_symbol

from graph.analysis import analyse, recorded_run
from graph.backends import Backends, open_backends
from graph.errors import AnalysisError
from graph.options import Debate, Options, Order
from otel.export import Telemetry, TraceFile, set_up
from service.choice import backend_choice, default_date
from service.log import LOG, logging_to
from service.progress import Progress
from service.result import Result, finished, show, show_json
from service.run_folder import RunFolder
from service.settings import Settings
from service.timing_log import TimingLog
from service.version import VERSION
from toolkit.errors import BadRequest, DataError

DONE, USAGE, FAILED, INTERRUPTED = 0, 2, 3, 130


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line asked for."""

    symbol: str
    options: Mapping[str, Any]

    @classmethod
    def of(cls, symbol: str, options: Mapping[str, object]) -> Self:
        """The request as click parsed it."""
        return cls(symbol, options)


@dataclass(frozen=True, slots=True)
class _Invocation:
    settings: Settings
    talk: Console
    out: Path
    offline: bool


def run_command(request: RunRequest) -> int:
    """Run the analysis and return the exit code; every failure is one sentence on stderr."""
    talk = Console(stderr=True)
    try:
        settings = Settings()
        with logging_to(settings.log_file):
            return asyncio.run(_run(request, settings, talk))
    except KeyboardInterrupt:
        return _failed(talk, "Interrupted; the run's folder holds the trace so far.", INTERRUPTED)
    except BadRequest as error:
        return _failed(talk, str(error), USAGE)
    except (AnalysisError, DataError) as error:
        return _failed(talk, str(error), FAILED)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _failed(talk, f"Cannot write{where}: {error.strerror or error}.", USAGE)


def _failed(talk: Console, sentence: str, code: int) -> int:
    talk.print(f"[red]Error:[/red] {sentence}", highlight=False, soft_wrap=True)
    return code


async def _run(request: RunRequest, settings: Settings, talk: Console) -> int:
    asked = request.options
    choice = backend_choice(
        settings,
        offline=asked["offline"],
        data=asked["data"],
        cache=not asked["no_cache"],
        pool=not asked["no_pool"],
    )
    options = Options(
        symbol=parse_symbol(request.symbol),
        as_of=AsOf.parse(asked["as_of"] or default_date(choice.data)),
        analysts=tuple(f"{name}_analyst" for name in asked["analysts"]),
        analyst_turns=asked["analyst_turns"],
        debate=Debate(asked["debate"]),
        debate_rounds=asked["debate_rounds"],
        risk_rounds=asked["risk_rounds"],
        dispatch=Order(asked["dispatch"]),
        tools=Order(asked["tools"]),
        agent_budget_s=asked["agent_budget"],
    )
    invocation = _Invocation(
        settings, talk, Path(asked["out"] or settings.out), offline=asked["offline"]
    )
    telemetry = set_up("trading-graph", VERSION)
    try:
        async with open_backends(choice) as backends:
            _announce(talk, options, backends)
            result = await _analyse(options, backends, telemetry, invocation)
    finally:
        await asyncio.to_thread(telemetry.shutdown)
    if asked["as_json"]:
        show_json(result, settings, Console(file=sys.stdout))
    else:
        show(result, settings, Console(file=sys.stdout))
    return DONE


def _announce(talk: Console, options: Options, backends: Backends) -> None:
    simulated = "; latencies are simulated" if backends.simulated else ""
    talk.print(
        f"{options.symbol} as of {options.as_of} · model: {backends.models.service.label} · "
        f"data: {backends.data_label}{simulated}",
        highlight=False,
        soft_wrap=True,
    )


async def _analyse(
    options: Options, backends: Backends, telemetry: Telemetry, invocation: _Invocation
) -> Result:
    progress = Progress(invocation.talk)
    folder: RunFolder | None = None
    trace_file: TraceFile | None = None
    try:
        with progress.shown():
            async with recorded_run(options, backends, telemetry.provider) as run:
                folder = await asyncio.to_thread(RunFolder, invocation.out, run.run_id)
                trace_file = await asyncio.to_thread(TraceFile, folder.trace)
                for listener in (trace_file, progress, TimingLog()):
                    run.recording.listen(listener)
                analysis = await analyse(options, backends, run, langsmith=not invocation.offline)
    except BaseException as error:
        if folder is not None:
            LOG.error("The run failed: %r", error, extra={"trace_id": folder.path.name})
            invocation.talk.print(f"Trace of the failed run: {folder.trace}", soft_wrap=True)
        raise
    finally:
        if trace_file is not None:
            await asyncio.to_thread(trace_file.close)
        await asyncio.to_thread(telemetry.flush)
    return await asyncio.to_thread(finished, analysis, folder, telemetry, invocation.settings)
