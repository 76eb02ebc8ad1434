"""`trading-graph doctor`: what answers, what waits, and what to do about each red line."""

import json
import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.otel.errors import TraceError
from trading_graph.otel.redaction import process_redactor
from trading_graph.service.doctor import Finding, State, examine
from trading_graph.service.doctor_tables import data_document, show_data
from trading_graph.service.errors import BadSettings
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.last_run import LastRun, last_run
from trading_graph.service.settings import read_settings

_SIGNS = {State.OK: "[green]✓[/]", State.OFF: "[dim]-[/]", State.RED: "[red]✗[/]"}


def doctor_command(*, as_json: bool) -> ExitCode:
    """Examine, show, and return the exit code."""
    redactor = process_redactor()
    last: LastRun | None = None
    try:
        settings = read_settings()
        redactor = process_redactor(settings.secrets)
        findings = examine(settings)
        try:
            last = last_run(settings.out)
            found = f"{last.run_id}, {last.symbol} as of {last.as_of}"
            findings.append(Finding("last run", State.OK, found))
        except TraceError as error:
            findings.append(Finding("last run", State.OFF, str(error)))
    except BadSettings as error:
        findings = [Finding("settings", State.RED, str(error), "correct the setting")]
    findings = [
        Finding(each.check, each.state, redactor.text(each.found), each.advice) for each in findings
    ]
    if as_json:
        shown = {
            "schema_version": 1,
            "well": not _red(findings),
            "findings": [
                {
                    "check": each.check,
                    "state": each.state,
                    "found": each.found,
                    "advice": each.advice,
                }
                for each in findings
            ],
            **data_document(last),
        }
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        _show(findings, last)
    return ExitCode.CHECK_FAILED if _red(findings) else ExitCode.OK


def _red(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.state is State.RED]


def _show(findings: list[Finding], last: LastRun | None) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for each in findings:
        advice = f"\n[yellow]→ {escape(each.advice)}[/]" if each.advice else ""
        table.add_row(_SIGNS[each.state], each.check, f"{escape(each.found)}{advice}")
    console = Console(file=sys.stdout, highlight=False, emoji=False)
    console.print(table)
    show_data(console, last)
    red = len(_red(findings))
    console.print(f"\n[red]{red} to mend.[/]" if red else "\n[green]All is well.[/]")
