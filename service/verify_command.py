"""`trading-graph verify`: a trace, a gate, a verdict, an exit code."""

import sys
from pathlib import Path

from rich.console import Console

from trading_graph.otel.collection import collection_paused
from trading_graph.otel.errors import TraceError
from trading_graph.otel.report import VerdictText, as_github, as_json, as_junit, as_markdown
from trading_graph.otel.verdict import Gate, GateError, default_gate, judge
from trading_graph.service.errors import BadSettings
from trading_graph.service.exit_codes import ExitCode, fail
from trading_graph.service.trace_source import find_trace

FORMATS = {"markdown": as_markdown, "json": as_json, "junit": as_junit, "github": as_github}


@collection_paused()
def verify_command(
    words: tuple[str, ...], source: str | None, id: str | None, gate: str | None, format: str
) -> ExitCode:
    """Judge a trace and return the exit code; every fault is one sentence on stderr."""
    talk = Console(stderr=True)
    try:
        wanted = Gate.from_file(Path(gate)) if gate else default_gate()
        verdict = judge(find_trace(words, source, id), wanted, id)
        shown = VerdictText(verdict) if format == "text" else FORMATS[format](verdict)
    except (GateError, BadSettings) as error:
        return fail(talk, str(error), ExitCode.USAGE)
    except TraceError as error:
        return fail(talk, str(error), ExitCode.NOT_DONE)
    if isinstance(shown, str):
        sys.stdout.write(shown + "\n")
    else:
        Console(file=sys.stdout, highlight=False, emoji=False).print(shown)
    if not verdict.judged:
        return ExitCode.NOT_DONE
    return ExitCode.OK if verdict.passed else ExitCode.CHECK_FAILED
