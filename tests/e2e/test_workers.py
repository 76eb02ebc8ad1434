"""Portfolios on workers: submitted, worked on by several processes, and none of it lost to a kill.

What is paid is counted where it is paid: at the model's server.
"""

import time
from pathlib import Path

import pytest

from tests.paid_model import PaidModel
from tests.postgres import PostgresServer
from tests.workers import house

DATES = ("--dates", "2025-11-13..2025-11-14")


def test_a_dead_workers_runs_go_on_with_another(workdir: Path, postgres_url: str) -> None:
    """And the report is that of one process, to the last figure."""
    words = ("AAPL", "NVDA", *DATES, "--analysts", "market,news")
    with house(workdir, PaidModel(0.05), postgres_url) as begun:
        portfolio_id = begun.submit(*words)
        assert begun.submit(*words) == portfolio_id, "the same list is one portfolio"
        begun.model.hold("research_manager")
        first, _ = begun.worker("--at-once", "2"), begun.worker("--at-once", "2")
        # Both have two runs, of which all analysts and debaters have answered.
        begun.wait_for_requests(4 * 7)
        begun.kill(first)
        begun.model.release()
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 4)
        assert begun.assert_traces_are_whole(document) >= 1, "the dead worker had a run"
        begun.stop()
        shared, alone = begun.report(), begun.report_of_one_process(*words)
        assert len(shared["ranked"]) > 0
        assert shared == alone


@pytest.mark.full
def test_each_worker_has_its_own_number_of_runs_at_once(
    workdir: Path, postgres: PostgresServer, postgres_url: str
) -> None:
    """Whichever worker started last; and one may be told how many there are in all."""

    def runs_by_worker() -> list[int]:
        query = """SELECT count(*) FROM dbos.workflow_status
            WHERE name = 'ticker_day' AND status = 'PENDING' GROUP BY executor_id ORDER BY 1"""
        return [int(line) for line in postgres.sql(query, postgres_url.rpartition("/")[2]).split()]

    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        begun.model.hold("market_analyst")
        begun.submit("AAPL", "NVDA", "WMT", *DATES, "--analysts", "market")
        begun.worker("--at-once", "1")
        begun.wait_for_requests(1)
        begun.worker("--at-once", "3")
        begun.wait_for_requests(1 + 3)
        begun.worker("--at-once", "2", "--at-once-in-all", "5")
        begun.wait_for_requests(1 + 3 + 1)
        time.sleep(2)
        assert runs_by_worker() == [1, 1, 3], "the third has room for one more, and may not"
        begun.model.release()
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 6)
        begun.stop()


@pytest.mark.full
def test_one_worker_serves_a_file_and_a_second_is_refused(workdir: Path) -> None:
    with house(workdir, PaidModel(0.05), None) as begun:
        begun.submit("AAPL", "--date", "2025-11-14")
        first = begun.worker()
        begun.wait_for_calls(4)
        assert "SQLite takes only one" in begun.end("worker", code=3).stderr
        begun.kill(first)
        begun.worker()
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 1)
        begun.assert_traces_are_whole(document)
        begun.stop()
