"""A pytest plugin: records the spans of a test, and writes the traces of failed tests.

The fixture `recorded_spans` works with any program that makes OpenTelemetry spans; the assertions
on traces are in `trading_graph.testing`. `--trace-report DIR` writes the traces of failed tests.
The plugin is registered under the entry point `pytest11`.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from trading_graph.otel.recorded_spans import RecordedSpans

_REPORT = pytest.StashKey["pytest.TestReport"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--trace-report`."""
    parser.getgroup("trading-graph").addoption(
        "--trace-report",
        type=Path,
        metavar="DIR",
        help="Write the traces of failed tests that use recorded_spans to DIR, as OTLP JSON.",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: "pytest.CallInfo[None]"
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store the report of the call, from which the fixture learns the outcome."""
    report = yield
    if report.when == "call":
        item.stash[_REPORT] = report
    return report


@pytest.fixture
def recorded_spans(request: pytest.FixtureRequest) -> "Iterator[RecordedSpans]":
    """The spans that the global tracer provider ends during the test."""
    # Pytest loads this module in every project: only tests that use the fixture pay for the SDK.
    from trading_graph.otel.recorded_spans import record_spans, write_spans

    with record_spans() as spans:
        yield spans
    folder = request.config.getoption("--trace-report")
    report = request.node.stash.get(_REPORT, None)
    if folder is not None and report is not None and report.failed and spans.ended:
        write_spans(folder, request.node.nodeid, spans)
