"""Portfolios on workers: submitted, worked on by several processes, and none of it lost to a kill.

What is paid is counted where it is paid: at the model's server.
"""

from pathlib import Path

import pytest

from tests.paid_model import PaidModel
from tests.workers import house


def test_a_dead_workers_runs_go_on_with_another(workdir: Path, postgres_url: str) -> None:
    """And the report is that of one process, to the last figure."""
    words = ("AAPL", "NVDA", "--dates", "2025-11-13..2025-11-14", "--analysts", "market,news")
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
