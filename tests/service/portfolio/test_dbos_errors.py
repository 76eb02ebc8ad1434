"""What DBOS logs as errors: what is expected is none, and any other is one line without secrets."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbos import error as dbos_error

from trading_graph.otel.redaction import Redactor
from trading_graph.service.log import logging_to
from trading_graph.service.portfolio.durable.dbos_errors import log_errors_in_lines

DBOS_LOG = logging.getLogger("dbos")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = DBOS_LOG.handlers, DBOS_LOG.filters, DBOS_LOG.propagate
    yield
    DBOS_LOG.handlers, DBOS_LOG.filters, DBOS_LOG.propagate = before


def test_an_error_is_a_line_and_its_details_are_in_the_log_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    redactor = Redactor(["sesame-1234"], environment={})
    with logging_to(tmp_path / "log", redactor):
        log_errors_in_lines(redactor)
        for error in (
            dbos_error.DBOSAwaitedWorkflowCancelledError("a-workflow"),
            ValueError("No answer to sesame-1234.\nIt may be down."),
        ):
            try:
                raise error
            except Exception as caught:
                DBOS_LOG.error("Exception encountered in asynchronous workflow:", exc_info=caught)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "in asynchronous workflow: ValueError: No answer to" in said
    assert "sesame" not in said
    logged = (tmp_path / "log").read_text()
    assert "Traceback" in logged
    assert "It may be down." in logged
    assert "a-workflow" not in logged
