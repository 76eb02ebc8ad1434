"""A pytest plugin: records the spans of a test, and writes the traces of tests.

The fixture `recorded_spans` works with any program that makes OpenTelemetry spans; the assertions
on traces are in `trading_graph.testing`. `--trace-report DIR` writes the traces of failed tests,
with `--trace-report-all` of all. What assertions could not judge is told after the tests. The
plugin is registered under the entry point `pytest11`.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trading_graph.otel import unjudged

if TYPE_CHECKING:
    from trading_graph.otel.recorded_spans import RecordedSpans

_REPORT = pytest.StashKey["pytest.TestReport"]()
_NOT_APPLICABLE = "trading_graph.not_applicable"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--trace-report` and `--trace-report-all`."""
    group = parser.getgroup("trading-graph")
    group.addoption(
        "--trace-report",
        type=Path,
        metavar="DIR",
        help="Write the traces of failed tests that use recorded_spans to DIR, as OTLP JSON.",
    )
    group.addoption(
        "--trace-report-all",
        action="store_true",
        help="Write those of tests that passed as well.",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store the report of the call, from which the fixture learns the outcome.

    What could not be judged goes with it, so that it also comes from the processes of xdist.
    """
    item.user_properties += [(_NOT_APPLICABLE, sentence) for sentence in unjudged.take()]
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell which assertions had nothing to judge."""
    reports = [
        report
        for of_one_kind in terminalreporter.stats.values()
        for report in of_one_kind
        if isinstance(report, pytest.TestReport)
    ]
    lines = {
        f"{report.nodeid}: {sentence}": None
        for report in reports
        for key, sentence in report.user_properties
        if key == _NOT_APPLICABLE
    }
    if lines:
        terminalreporter.section("not applicable")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def recorded_spans(request: pytest.FixtureRequest) -> "Iterator[RecordedSpans]":
    """The spans that the global tracer provider ends during the test, with what the witness saw."""
    # Pytest loads this module in every project: only tests that use the fixture pay for the SDK.
    from trading_graph.otel.recorded_spans import record_spans, write_spans

    with record_spans() as spans:
        yield spans
    folder = request.config.getoption("--trace-report")
    report = request.node.stash.get(_REPORT, None)
    if folder is None or report is None or not spans.ended:
        return
    if report.failed or request.config.getoption("--trace-report-all"):
        write_spans(folder, request.node.nodeid, spans)
