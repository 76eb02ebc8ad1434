"""`trading-graph gate`: a first gate, written from a trace."""

import sys

from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.verdict import unjudged
from trading_graph.otel.trace import row_of, table_of
from trading_graph.otel.verdict import judge, neutral_gate
from trading_graph.otel.verdict.starter_gate import starter_gate
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.trace_source import find_trace


def gate_command(*, trace: tuple[str, ...], source: str | None, id: str | None) -> ExitCode:
    """Write the gate to stdout and return the exit code; raises TraceError."""
    verdict = judge(find_trace(trace, source, id), neutral_gate(), id)
    if not verdict.judged or verdict.run is None:
        raise TraceError(" ".join(unjudged(verdict)))
    sys.stdout.write(starter_gate(table_of(verdict.trace), row_of(verdict.run)))
    return ExitCode.OK
