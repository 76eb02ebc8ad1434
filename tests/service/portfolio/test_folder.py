"""The folder of a portfolio: what a killed process leaves is read, and only one works on it."""

import datetime
from io import FileIO
from pathlib import Path

import pytest

from tests.service.portfolio.test_order import order
from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.engine import PortfolioState
from trading_graph.service.portfolio.folder import (
    PortfolioFolder,
    ProgressLog,
    find_portfolio,
    portfolio_folders,
)
from trading_graph.service.portfolio.progress import Happening, ProgressEvent
from trading_graph.service.portfolio.ticker_day import TickerDayState
from trading_graph.service.run.folder import RunFolder


def begun(portfolios: Path, **changed: object) -> PortfolioFolder:
    of = order(**changed)
    folder = PortfolioFolder(portfolios, of.id)
    folder.write_order(of)
    return folder


def states(folder: PortfolioFolder) -> list[TickerDayState]:
    return [each.state for each in folder.progress(folder.order()).values()]


def test_half_a_line_of_a_killed_process_is_cut_off(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    days = [each.run_id for each in folder.order().ticker_days]
    with folder.work() as log:
        log.append(*(ProgressEvent(1.0, run_id, Happening.BEGAN) for run_id in days[:2]))
    with folder.progress_file.open("ab") as file:
        file.write(b'{"at":2.0,"run_id":"')
    assert states(folder) == [TickerDayState.RUNNING] * 2 + [TickerDayState.WAITING] * 2
    assert {each.state for each in folder.status().ticker_days} == {TickerDayState.WAITING}
    with folder.work() as log:
        log.append(ProgressEvent(3.0, days[2], Happening.BEGAN))
    assert states(folder) == [TickerDayState.RUNNING] * 3 + [TickerDayState.WAITING]


def test_a_line_that_is_no_event_is_named(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    folder.progress_file.write_text('{"at":1,"run_id":"x","happening":"began"}\n{"at":2}\n')
    with pytest.raises(PortfolioError, match=r"Line 2 of .*progress\.jsonl cannot be read"):
        folder.status()


def test_a_second_process_is_refused_while_the_first_works(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    assert folder.status().state is PortfolioState.INTERRUPTED
    with folder.work():
        assert folder.status().state is PortfolioState.RUNNING
        with pytest.raises(PortfolioError, match="Another process works on the portfolio"):
            folder.work().__enter__()
    with folder.work():
        pass


def test_what_workers_have_is_refused_until_they_leave_it_and_theirs_no_more_after_that(
    tmp_path: Path,
) -> None:
    folder = begun(tmp_path)
    folder.mark_queued("{}")
    run_ids = [each.run_id for each in folder.order().ticker_days]
    for refused in (folder.assert_free, folder.work().__enter__):
        with pytest.raises(PortfolioError, match="is in the line of trading-graph worker"):
            refused()
    assert folder.status().state is PortfolioState.RUNNING
    for run_id in run_ids:
        with FileIO(folder.log_of_worker(run_id), "ab") as file:
            ProgressLog(file).append(ProgressEvent(1.0, run_id, Happening.CANCELLED))
    folder.assert_free()
    with folder.work():
        assert folder.is_queued, "nothing was gone on with"
    with folder.work() as log:
        log.append(*(ProgressEvent(2.0, run_id, Happening.RETURNED) for run_id in run_ids))
        log.append(ProgressEvent(3.0, run_ids[0], Happening.BEGAN))
        assert folder.status().state is PortfolioState.RUNNING
    assert not folder.is_queued
    assert not folder.exists_in_line()
    assert folder.status().state is PortfolioState.INTERRUPTED, "whether it was stopped or killed"
    folder.assert_free()
    with folder.work() as log:
        log.append(ProgressEvent(4.0, run_ids[0], Happening.DONE))
    assert states(folder) == [TickerDayState.DONE] + [TickerDayState.WAITING] * 3


def test_a_portfolio_is_found_by_its_id_its_beginning_and_as_the_last(tmp_path: Path) -> None:
    with pytest.raises(PortfolioError, match="There is no portfolio in"):
        find_portfolio("last", tmp_path)
    first, second = begun(tmp_path), begun(tmp_path, number=1)
    assert find_portfolio("last", tmp_path).path == second.path
    with first.work() as log:
        log.append(ProgressEvent(1.0, first.order().ticker_days[0].run_id, Happening.BEGAN))
    assert find_portfolio("last", tmp_path).path == first.path
    assert [each.path for each in portfolio_folders(tmp_path)] == [second.path, first.path]
    for word in (first.path.name, first.path.name[:6], first.path.name.upper()):
        assert find_portfolio(word, tmp_path).path == first.path
    for word in ("", "zz", "0" * 32, "../x"):
        with pytest.raises(PortfolioError, match="is no portfolio of"):
            find_portfolio(word, tmp_path)


def test_a_run_that_is_begun_anew_leaves_what_it_left(tmp_path: Path) -> None:
    folder = begun(tmp_path / "portfolios")
    run = RunFolder(tmp_path / "runs", "c" * 32)
    for text in ("first", "second"):
        run.path.mkdir(parents=True)
        run.trace.write_text(text)
        folder.set_aside(run)
        assert not run.path.exists()
    tries = sorted((folder.path / "tries").iterdir())
    assert [(each / "trace.jsonl").read_text() for each in tries] == ["first", "second"]


def test_a_decision_that_is_gone_is_no_decision(tmp_path: Path) -> None:
    folder = begun(tmp_path / "portfolios", out=tmp_path / "runs")
    day = folder.order().ticker_days[0]
    with folder.work() as log:
        log.append(ProgressEvent(1.0, day.run_id, Happening.DONE))
    status = folder.status()
    assert status.ticker_days[0].ended == datetime.datetime.fromtimestamp(1, datetime.UTC)
    result = folder.results(status.order, status.ticker_days)[0]
    assert (result.state, result.decision) == (TickerDayState.FAILED, None)
    assert "decision.json is gone" in result.reason
