"""Portfolios over HTTP: asked for, worked on, cancelled, left at a stop and gone on with."""

import asyncio
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.patience import PATIENCE_S
from tests.service.portfolio.work_elsewhere import worked_on
from tests.service.server.open_service import Service, opened, settings_for
from tests.service.server.serve_process import serving
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.server.portfolio_files import ENTRY
from trading_graph.service.server.portfolio_request import (
    PORTFOLIO_REQUEST,
    NotAgreedError,
    Orders,
)
from trading_graph.service.server.portfolios_api import OPERATIONS
from trading_graph.service.settings import backend_choice

PORTFOLIOS = "/v1/portfolios"
SMALL: dict[str, Any] = {"symbols": ["AAPL", "NVDA"], "analysts": ["market"]}
CALLS = 10
"""Of a run with one analyst: two turns, two debaters, three of the risk team, three deciders."""
SLOW: dict[str, Any] = {**SMALL, "symbols": ["AAPL", "NVDA", "MSFT", "WMT"], "at_once": 2}


async def over(service: Service, portfolio_id: str) -> Any:
    """The portfolio, once it is over."""
    return await until(service, portfolio_id, lambda of: of["state"] == "over")


async def until(service: Service, portfolio_id: str, holds: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            of = await service.get(f"{PORTFOLIOS}/{portfolio_id}")
            if holds(of):
                return of
            await asyncio.sleep(0.05)


def states(of: Any) -> dict[str, str]:
    return {each["symbol"]: each["state"] for each in of["ticker_days"]}


async def test_a_portfolio_is_worked_on_and_leaves_a_report(tmp_path: Path) -> None:
    body = {**SMALL, "symbols": ["AAPL", "???"], "list": "symbol\nXYZQ # unknown\nNVDA\naapl\n"}
    async with opened(tmp_path) as service:
        begun = await service.post(PORTFOLIOS, body, 202, **{"Idempotency-Key": "one"})
        assert begun["state"] in ("waiting", "running")
        assert begun["here"]
        report = await service.get(f"{begun['links']['report']}", 404)
        assert "comes at its end" in report["detail"]
        of = await over(service, begun["portfolio_id"])
        assert states(of) == {"AAPL": "done", "XYZQ": "failed", "NVDA": "done"}
        assert of["counts"]["done"] == 2
        assert of["calls"] == sum(each["calls"] for each in of["ticker_days"]) > 0
        assert of["seconds_left"] is of["place_in_line"] is of["error"] is None
        assert [each["text"] for each in of["refused"]] == ["???"]
        assert of["duplicates"] == ["AAPL"]

        ranking = await service.get(of["links"]["report"])
        places = {each["run_id"] for each in (*ranking["ranked"], *ranking["undecided"])}
        done = {each["run_id"] for each in of["ticker_days"] if each["state"] == "done"}
        assert places == done
        for format, content in (
            ("html", "text/html"),
            ("csv", "text/csv"),
            ("markdown", "text/markdown"),
        ):
            async with service.http.get(f"{of['links']['report']}?format={format}") as answer:
                assert answer.status == 200
                assert answer.content_type == content
                text = await answer.text()
                assert "AAPL" in text
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                if format == "html":
                    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                    assert "script-src" not in answer.headers["Content-Security-Policy"]
                    assert 'href="/runs/' in text
                    assert "report.md" not in text

        again = await service.post(PORTFOLIOS, body, 200)
        assert again == of, "what is done is not done again"
        same = await service.post(PORTFOLIOS, body, 200, **{"Idempotency-Key": "one"})
        assert same["portfolio_id"] == of["portfolio_id"]
        other = await service.post(PORTFOLIOS, SMALL, 409, **{"Idempotency-Key": "one"})
        assert "send a new one" in other["detail"]

        run_id = next(iter(done))
        run = await service.get(f"/v1/runs/{run_id}")
        assert run["state"] == "done"
        for name in ("decision", "report", "chart", "trace", "diagnosis"):
            async with service.http.get(run["links"][name]) as answer:
                assert answer.status == 200, name
        told = await service.events(run_id)
        assert [told[0]["type"], told[-1]["type"]] == ["run.started", "finished"]
        assert (await service.get("/v1/runs"))["runs"] == [], "they are the portfolio's"


async def test_a_second_one_waits_its_turn_and_is_begun_anew_on_request(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.1) as service:
        first = await service.post(PORTFOLIOS, SLOW, 202)
        second = await service.post(PORTFOLIOS, SMALL, 202)
        if second["place_in_line"] is not None:
            assert (second["state"], second["seconds_left"]) == ("waiting", None)
        listed = await service.get(f"{PORTFOLIOS}?limit=1")
        assert [each["portfolio_id"] for each in listed["portfolios"]] == [second["portfolio_id"]]
        rest = await service.get(f"{PORTFOLIOS}?limit=1&before={listed['next']}")
        assert [each["portfolio_id"] for each in rest["portfolios"]] == [first["portfolio_id"]]
        assert rest["next"] is None
        done = await over(service, second["portfolio_id"])
        assert (await service.get(first["links"]["self"]))["state"] == "over", "in their order"
        anew = await service.post(PORTFOLIOS, {**SMALL, "again": True}, 202)
        assert anew["portfolio_id"] != done["portfolio_id"]
        key = {"Idempotency-Key": "anew"}
        more = await service.post(PORTFOLIOS, {**SMALL, "again": True}, 202, **key)
        same = await service.post(PORTFOLIOS, {**SMALL, "again": True}, 200, **key)
        assert more["portfolio_id"] == same["portfolio_id"] != anew["portfolio_id"]


async def test_a_cancelled_one_stops_alone_and_stays_so(tmp_path: Path) -> None:
    """A run that was asked for beside it goes on to its end, and its trace is whole."""
    async with opened(tmp_path, chat_latency_s=0.4) as service:
        begun = await service.post(PORTFOLIOS, SLOW, 202)
        waiting = await service.post(PORTFOLIOS, SMALL, 202)
        here = begun["links"]["self"]
        await until(service, begun["portfolio_id"], lambda of: of["counts"]["running"] == 2)
        run = await service.start()
        await service.until(run["id"], lambda of: of["state"] == "running")
        of_portfolio = next(
            each["run_id"]
            for each in (await service.get(here))["ticker_days"]
            if each["state"] == "running"
        )
        refused = await service.post(f"/v1/runs/{of_portfolio}/cancel", None, 409)
        assert begun["portfolio_id"] in refused["detail"]
        gone = await service.post(f"{waiting['links']['self']}/cancel", None, 200)
        assert (gone["state"], gone["place_in_line"]) == ("cancelled", None)
        stopped = await service.post(f"{here}/cancel", None, 200)
        assert set(states(stopped).values()) <= {"done", "cancelled"}
        assert "cancelled" in states(stopped).values()
        assert (await service.post(f"{here}/cancel", None, 200))["state"] == "cancelled"
        again = await service.post(PORTFOLIOS, SLOW, 409)
        assert "was cancelled; begin it anew with again" in again["detail"]
        beside = await service.over(run["id"])
        assert (beside["state"], beside["passed"]) == ("done", True)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "No symbols are named"),
        ({"symbols": ["???"]}, "No symbol is left to analyse"),
        ({"symbols": ["/etc/passwd"]}, "No symbol is left to analyse"),
        ({"list": "# nothing\n"}, "No symbols are named"),
        ({"symbols": ["AAPL"], "date": "2999-01-01"}, "is in the future"),
        ({"symbols": ["AAPL"], "dates": "2025-11-14..2025-11-10"}, "before it begins"),
        ({"symbols": ["AAPL"], "dates": "2025-11-14"}, "is not a range"),
        ({"symbols": ["AAPL"], "every": 5}, "give dates"),
        ({"symbols": ["AAPL"], "date": "2025-11-14", "dates": "a..b"}, "give one of them"),
        ({"symbols": ["AAPL"], "at_once": 9}, "TRADING_GRAPH_PORTFOLIO_AT_ONCE"),
        ({"symbols": ["AAPL"], "at_once": 0}, "at_once"),
        ({"symbols": ["AAPL"], "debate_rounds": 9}, "debate_rounds"),
        ({"symbols": ["AAPL"], "out": "/tmp/x"}, "out"),
        ({"symbols": ["AAPL"], "symbol": "AAPL"}, "symbol"),
        ({"symbols": ["AAPL"], "dates": "2024-01-01..2025-11-14"}, "ask for fewer"),
        ({"symbols": "AAPL"}, "symbols"),
    ],
    ids=str,
)
async def test_what_cannot_be_analysed_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, body: dict[str, Any], says: str
) -> None:
    async with opened(tmp_path, begun=False, serve_ticker_days=100) as service:
        problem = await service.post(PORTFOLIOS, body, 422)
        assert says in problem["detail"]
        assert problem["detail"].endswith(".")
        assert (await service.get(PORTFOLIOS))["portfolios"] == []
        assert not await asyncio.to_thread((tmp_path / "portfolios").exists)


async def test_one_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        for operation in OPERATIONS:
            if "{" not in operation.path:
                continue
            path = operation.path.replace("{portfolio_id}", "0" * 32)
            async with service.http.request(operation.method, path) as answer:
                assert answer.status == 404
                assert "/v1/portfolios lists" in (await answer.json(content_type=None))["detail"]
        await service.get(f"{PORTFOLIOS}/..%2f..", 404)


async def test_a_full_line_says_when_to_ask_again(tmp_path: Path) -> None:
    """Before a ticker-day has ended a minute is assumed, and it says so; then what they took."""
    more = {**SMALL, "symbols": ["AAPL", "NVDA", "WMT"], "at_once": 1}
    async with opened(tmp_path, chat_latency_s=0.4, serve_portfolios_in_line=0) as service:
        begun = await service.post(PORTFOLIOS, more, 202)
        await until(service, begun["portfolio_id"], lambda of: of["counts"]["running"] == 1)
        waits = []
        for ended in (0, 1):
            await until(service, begun["portfolio_id"], partial(has_done, ended))
            async with service.http.post(PORTFOLIOS, json=SMALL) as answer:
                assert answer.status == 429
                waits.append(int(answer.headers["Retry-After"]))
                said = (await answer.json(content_type=None))["detail"]
                assert f"ask again in {waits[-1]} s" in said
                assert ("since none of it has ended" in said) == (ended == 0)
        assert waits[0] >= 2 * 60, "three of a minute each, one after the other"
        assert waits[1] < 60
        await over(service, begun["portfolio_id"])
        async with asyncio.timeout(PATIENCE_S):
            while "detail" in await service.post(PORTFOLIOS, SMALL):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def has_done(number: int, of: Any) -> bool:
    return bool(of["counts"]["done"] >= number)


async def test_a_name_of_a_file_is_not_read(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        secret = tmp_path / "evening.txt"
        await asyncio.to_thread(secret.write_text, "AAPL")
        of = await service.post(PORTFOLIOS, {"symbols": ["evening.txt"], "list": str(secret)}, 202)
        assert list(states(of)) == ["EVENING.TXT"]
        assert [each["text"] for each in of["refused"]] == [str(secret)]


def test_what_costs_much_needs_consent(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path, openai_base_url="http://127.0.0.1:9/v1", portfolio_ask_calls=15
    )
    choice = backend_choice(settings, offline=False)
    orders = Orders(settings, choice, LangSmithMode.OFF, settings.out)
    words = PORTFOLIO_REQUEST.validate_python({"symbols": ["AAPL"]})
    with pytest.raises(NotAgreedError, match=r"16 calls, tokens unknown.*agree to it"):
        orders.order(words)
    assert orders.order(words.model_copy(update={"agreed": True})).symbols == ("AAPL",)
    few = settings.model_copy(update={"portfolio_ask_calls": 16})
    assert Orders(few, choice, LangSmithMode.OFF, settings.out).order(words).symbols == ("AAPL",)


def test_a_request_lowers_the_budget_of_the_settings_and_never_raises_it(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, max_calls=9)
    orders = Orders(
        settings, backend_choice(settings, offline=True), LangSmithMode.OFF, settings.out
    )
    for wanted, gives in ((5, 5), (20, 9), (None, 9)):
        words = PORTFOLIO_REQUEST.validate_python({"symbols": ["AAPL"], "max_calls": wanted})
        assert orders.order(words).request["max_calls"] == gives


async def test_portfolios_of_other_processes_are_shown_and_cannot_be_begun_twice(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, begun=False) as service:
        begun = await service.post(PORTFOLIOS, SMALL, 202)
    folder = PortfolioFolder(tmp_path / "portfolios", begun["portfolio_id"])
    await asyncio.to_thread((folder.path / ENTRY).unlink)
    async with opened(tmp_path) as service:
        there = await service.get(begun["links"]["self"])
        assert (there["state"], there["here"]) == ("interrupted", False), "it is nobody's here"
        async with worked_on(folder):
            there = await service.get(begun["links"]["self"])
            assert (there["state"], there["here"]) == ("running", False)
            assert (await service.post(PORTFOLIOS, SMALL, 200))["state"] == "running"
        assert (await service.post(PORTFOLIOS, SMALL, 202))["here"]
        assert states(await over(service, begun["portfolio_id"])) == dict.fromkeys(
            SMALL["symbols"], "done"
        )
        # What cannot be read is named, and the rest is shown.
        damaged = tmp_path / "portfolios" / ("f" * 32)
        await asyncio.to_thread(damaged.mkdir)
        await asyncio.to_thread((damaged / "portfolio.json").write_text, '{"id": 1}')
        listed = await service.get(PORTFOLIOS)
        assert [each["portfolio_id"] for each in listed["portfolios"]] == [begun["portfolio_id"]]
        assert "is no order of a portfolio" in listed["unreadable"][0]
        await service.get(f"{PORTFOLIOS}/{'f' * 32}", 409)


@pytest.mark.parametrize("how", ["kill", pytest.param("terminate", marks=pytest.mark.full)])
def test_a_service_that_starts_again_goes_on_with_what_was_left(tmp_path: Path, how: str) -> None:
    """The one that was under way first, then the one that waited; each ticker-day ends once."""
    env = {"TRADING_GRAPH_CHAT_LATENCY_S": "0.3", "TRADING_GRAPH_SERVE_DRAIN_S": "0"}
    with serving(tmp_path, **env) as service:
        url = service.url
        begun = requests.post(f"{url}{PORTFOLIOS}", json=SLOW, timeout=PATIENCE_S).json()
        waits = requests.post(f"{url}{PORTFOLIOS}", json=SMALL, timeout=PATIENCE_S).json()
        reach(url, begun, lambda of: of["counts"]["running"] and of["calls"] >= 4)
        getattr(service.process, how)()
        code = service.ended()
        assert code == (0 if how == "terminate" else -9)
    with serving(tmp_path, **{**env, "TRADING_GRAPH_CHAT_LATENCY_S": "0.02"}) as service:
        url = service.url
        first = reach(url, begun, lambda of: of["state"] == "over")
        assert set(states(first).values()) == {"done"}
        assert first["calls"] < 2 * CALLS * len(first["ticker_days"]), "most are paid once"
        second = reach(url, waits, lambda of: of["state"] == "over")
        assert set(states(second).values()) == {"done"}
        assert requests.get(f"{url}{first['links']['report']}", timeout=PATIENCE_S).ok
        if how == "terminate":
            log = (tmp_path / "logs" / "trading_graph.log").read_text()
            assert "goes on at the next start" in log
        entry = json.loads((tmp_path / "portfolios" / begun["portfolio_id"] / ENTRY).read_text())
        assert not entry["is_open"]


def reach(url: str, begun: Any, holds: Callable[[Any], bool]) -> Any:
    """The portfolio, once something holds of it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        of = requests.get(f"{url}{begun['links']['self']}", timeout=PATIENCE_S).json()
        if holds(of):
            return of
        time.sleep(0.05)
    raise AssertionError(of)


async def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / "portfolios").write_text, "no folder")
    async with opened(tmp_path, begun=False) as service:
        problem = await service.post(PORTFOLIOS, SMALL, 503)
        assert "cannot be written" in problem["detail"]
        assert (await service.get(PORTFOLIOS))["portfolios"] == []
