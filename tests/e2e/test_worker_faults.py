"""Faults of workers and of their database: every ticker-day ends once, and little is paid twice."""

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.test_portfolio_kill import CALLS_OF_RUN, SIX, moments_of
from tests.paid_model import PaidModel
from tests.postgres import PostgresServer
from tests.workers import OTHER_VERSION, House, house
from trading_graph.service.portfolio.durable.database import Database
from trading_graph.service.portfolio.durable.lease import LEASE_S
from trading_graph.service.portfolio.durable.queue import TICKER_DAY_WORKFLOW, WorkQueue

SIXTY = (*SIX, "--dates", "2025-10-27..2025-11-07")
FOUR = ("AAPL", "NVDA", "--dates", "2025-11-13..2025-11-14")
MOST_IN_FLIGHT = 4
"""Calls that one run has under way at once: one of each analyst."""

pytestmark = pytest.mark.full


@pytest.mark.timeout(1_800)  # It starts some twenty processes.
@pytest.mark.parametrize("seed", [3, 11])
def test_sixty_ticker_days_survive_kills_of_workers_at_ten_moments(
    workdir: Path, postgres_url: str, seed: int
) -> None:
    """By turns one worker dies, or both; each time another one is started for it."""
    with house(workdir, PaidModel(0.1), postgres_url) as begun:
        # The submitter is killed as soon as it has said that it is done.
        submitter = begun.start("portfolio", "submit", *SIXTY, "--yes")
        begun.wait_for_talk("look at it with")
        begun.kill(submitter)
        workers = [begun.worker("--at-once", "6") for _ in range(2)]
        killed = 0
        for number, moment in enumerate(moments_of(seed, 10, 60 * CALLS_OF_RUN)):
            begun.wait_for_calls(moment)
            begun.wait_until_none_is_suspect()
            dying = workers if number % 3 == 2 else [workers[number % 2]]
            killed += len(dying)
            begun.kill(*dying)
            workers = [each for each in workers if each.poll() is None]
            workers += [begun.worker("--at-once", "6") for _ in dying]
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 60)
        begun.assert_traces_are_whole(document)
        repeated = begun.model.total - 60 * CALLS_OF_RUN
        print(f"{killed} workers killed, {repeated} of {60 * CALLS_OF_RUN} calls made again")
        assert repeated <= killed * 6 * MOST_IN_FLIGHT * 2
        begun.stop()


def test_a_paused_workers_runs_are_taken_over_and_it_writes_nothing_on_waking(
    workdir: Path, postgres_url: str
) -> None:
    with house(workdir, PaidModel(0.05), postgres_url) as begun:
        begun.submit(*FOUR)
        begun.model.hold("research_manager")
        first = begun.worker("--at-once", "4")
        begun.wait_for_requests(4 * 11)
        first.send_signal(signal.SIGSTOP)
        paused_s = time.monotonic()
        begun.model.release()
        begun.note_what_was_brought()
        begun.worker("--at-once", "4")
        document = begun.wait_until_over()
        taken_s = time.monotonic() - paused_s
        print(f"paused, taken over and done after {taken_s:.1f} s")
        assert taken_s > LEASE_S, "nobody takes what a worker may still have"
        files = _files(begun)
        calls = begun.model.total
        first.send_signal(signal.SIGCONT)
        begun.wait_for_talk("it begins anew")
        time.sleep(2)
        assert _files(begun) == files
        assert begun.model.total == calls, "it had paid for what was in flight, and for no more"
        begun.assert_each_ended_once(document, 4)
        assert begun.assert_traces_are_whole(document) == 4
        begun.stop()


def test_workers_outlive_a_restart_of_the_database(
    workdir: Path, postgres_server: PostgresServer
) -> None:
    with house(workdir, PaidModel(0.1), postgres_server.new_database()) as begun:
        begun.submit(*SIX, "--date", "2025-11-14")
        for _ in range(2):
            begun.worker("--at-once", "2")
        begun.wait_for_calls(2 * CALLS_OF_RUN)
        begun.note_what_was_brought()
        postgres_server.stop("immediate")
        postgres_server.start()
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 6)
        begun.assert_traces_are_whole(document)
        begun.stop()


def test_a_clock_that_is_an_hour_off_changes_nothing(workdir: Path, postgres_url: str) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("no faketime here: apt-get install faketime")
    with house(workdir, PaidModel(0.1), postgres_url) as begun:
        begun.submit(*FOUR)
        off = begun.worker("--at-once", "2", LD_PRELOAD=str(library), FAKETIME="+1h")
        begun.worker("--at-once", "2")
        begun.wait_for_calls(CALLS_OF_RUN)
        begun.kill(off)
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 4)
        begun.assert_traces_are_whole(document)


def test_a_ticker_that_kills_its_worker_is_parked_and_the_rest_goes_on(
    workdir: Path, postgres_url: str
) -> None:
    model = PaidModel(0.02, poison=("NVDA", "trader"))
    words = ("AAPL", "NVDA", "WMT", "--analysts", "market", "--date", "2025-11-14")
    with house(workdir, model, postgres_url) as begun:
        begun.submit(*words)
        for _ in range(3):
            worker = begun.worker()
            model.client = worker.pid
            assert begun.wait_for_end(worker) == -signal.SIGKILL
        begun.worker()
        document = begun.wait_until_over()
        states = {each["symbol"]: each["state"] for each in document["ticker_days"]}
        assert states == {"AAPL": "done", "NVDA": "parked", "WMT": "done"}
        calls = {asked.agent: n for asked, n in model.calls.items() if asked.symbol == "NVDA"}
        assert calls["trader"] == 3
        assert calls["market_analyst"] == 2, "paid once, by three workers"
        begun.stop()


def test_a_worker_of_another_version_takes_nothing_and_says_so(
    workdir: Path, postgres_url: str
) -> None:
    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        begun.submit(*FOUR)
        begun.worker(program=OTHER_VERSION)
        begun.wait_for_talk("this one is of 0.0.9")
        assert begun.model.total == 0
        assert "ALARM: nobody has" in begun.end("portfolio", "status").stderr
        begun.worker()
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 4)
        begun.stop()


def test_a_portfolio_that_no_worker_sees_to_is_cancelled_although_one_is_there(
    workdir: Path, postgres_url: str
) -> None:
    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        begun.submit(*FOUR)
        begun.worker(program=OTHER_VERSION)
        begun.wait_for_talk("this one is of 0.0.9")
        document = json.loads(begun.end("portfolio", "cancel", "--json").stdout)
        assert document["state"] == "cancelled"
        assert Counter(x["state"] for x in document["ticker_days"]) == {"cancelled": 4}
        begun.stop()


def _hold_two_runs_under_way(begun: House) -> int:
    """Let a worker bring two of four ticker-days to an agent that waits; the requests so far."""
    requests = 2 * 5
    begun.model.hold("research_manager")
    begun.submit(*FOUR, "--analysts", "market")
    begun.worker("--at-once", "2")
    begun.wait_for_requests(requests)
    return requests


def test_a_cancelled_portfolio_is_left_by_its_worker_and_counts_what_it_used(
    workdir: Path, postgres_url: str
) -> None:
    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        _hold_two_runs_under_way(begun)
        cancelled = json.loads(begun.end("portfolio", "cancel", "--json").stdout)
        assert Counter(x["state"] for x in cancelled["ticker_days"]) == {"cancelled": 4}
        assert cancelled["calls"] == begun.model.received
        begun.model.release()
        # It is a record like any other, and one process may go on with it.
        begun.stop()
        begun.end("portfolio", "resume")
        assert {x["state"] for x in begun.status()["ticker_days"]} == {"done"}


def test_a_worker_says_of_each_run_under_way_that_it_is_cancelled_and_tells_of_no_error(
    workdir: Path, postgres_url: str
) -> None:
    """Not even where the database has it that one was cancelled before its worker leaves it."""
    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        _hold_two_runs_under_way(begun)
        with WorkQueue.of(Database.of(postgres_url, workdir)) as queue:
            works = [each for each in queue.under_way() if each.name == TICKER_DAY_WORKFLOW]
            queue.remove(works[:1])
        begun.end("portfolio", "cancel")
        begun.stop()
        talk = begun.talk()
        assert "Traceback" not in talk
        assert "DBOS" not in talk
        said = {line for line in talk.splitlines() if line.endswith("cancelled")}
        assert said == {f"{symbol} 2025-11-13 cancelled" for symbol in ("AAPL", "NVDA")}


def test_a_cancelled_portfolio_that_one_process_goes_on_with_is_not_the_workers_any_more(
    workdir: Path, postgres_url: str
) -> None:
    """However that process ends, and although a worker is there."""
    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        asked = _hold_two_runs_under_way(begun)
        begun.end("portfolio", "cancel")
        for ends_by, code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            process = begun.start("portfolio", "resume")
            asked += 4 if ends_by is signal.SIGKILL else 4 * 5
            begun.wait_for_requests(asked)
            assert begun.status()["state"] == "running"
            process.send_signal(ends_by)
            assert begun.wait_for_end(process) == code, begun.talk()
            done = begun.end("portfolio", "status", "--json")
            assert json.loads(done.stdout)["state"] == "interrupted"
            assert "ALARM" not in done.stderr
        cancelled = json.loads(begun.end("portfolio", "cancel", "--json").stdout)
        assert cancelled["state"] == "cancelled"
        begun.model.release()
        begun.end("portfolio", "resume")
        document = begun.status()
        assert document["state"] == "over"
        assert {x["state"] for x in document["ticker_days"]} == {"done"}
        begun.stop()


def test_a_worker_that_is_told_to_stop_leaves_its_runs_without_a_try_lost(
    workdir: Path, postgres_url: str
) -> None:
    with house(workdir, PaidModel(0.02), postgres_url) as begun:
        begun.model.hold("research_manager")
        begun.submit(*FOUR)
        first = begun.worker("--at-once", "4", "--drain", "0")
        begun.wait_for_requests(4 * 11)
        first.terminate()
        assert begun.wait_for_end(first) == 0, begun.talk()
        begun.note_what_was_brought()
        assert [each["tries"] for each in begun.status()["ticker_days"]] == [0] * 4
        begun.model.release()
        begun.worker()
        document = begun.wait_until_over()
        begun.assert_each_ended_once(document, 4)
        begun.stop()


def _files(begun: House) -> dict[str, tuple[int, bytes]]:
    """All that is recorded: the inode and the content of each file."""
    files = [
        each
        for folder in ("runs", "portfolios")
        for each in (begun.workdir / folder).rglob("*")
        if each.is_file()
    ]
    return {str(each): (each.stat().st_ino, each.read_bytes()) for each in files}
