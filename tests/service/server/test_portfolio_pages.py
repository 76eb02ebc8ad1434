"""The pages of portfolios as a browser without script gets them."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient

from tests.patience import PATIENCE_S
from tests.service.portfolio.work_elsewhere import worked_on
from tests.service.server.markup import EVIL, assert_inert
from tests.service.server.test_pages import TOKEN, opened, over, text, words
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.server.access import digest
from trading_graph.service.server.pages.forms import Input
from trading_graph.service.server.pages.layout import render
from trading_graph.service.server.pages.portfolios_page import FORM, PortfolioForm

TYPED = {"symbols": "AAPL, NVDA\nXYZQ", "analysts": "market", "chosen": "1"}


async def started(client: TestClient[Any, Any], **fields: str) -> str:
    data = {**TYPED, **fields}
    answer = await client.post("/portfolios", data=data, allow_redirects=False)
    assert answer.status == HTTPStatus.SEE_OTHER, await answer.text()
    return answer.headers["Location"]


async def test_a_portfolio_is_started_followed_and_read_without_script(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.2) as client:
        assert "There is no portfolio yet" in await text(client, "/portfolios")
        assert 'href="/portfolios"' in await text(client, "/"), "the navigation leads there"
        path = await started(client, key="twice")
        assert await started(client, key="twice") == path, "a form that is sent twice starts one"
        live = await text(client, path)
        assert "data-live" in live
        assert 'http-equiv="refresh"' in live
        assert "Cancel the portfolio" in live
        page = await over(client, path, "http-equiv")
        said = words(page)
        for expected in ("2 of 3", "over, some failed", "Ranking", "There is no price data for"):
            assert expected in said, expected
        assert "Cancel the portfolio" not in page
        assert "data-live" not in page
        listed = await text(client, "/portfolios")
        assert f'href="{path}"' in listed
        failed = words(await text(client, f"{path}?state=failed"))
        assert failed.count("as of 2025-11-14") == 2, "the portfolio's day, and the one that failed"
        run = page.partition('href="/runs/')[2].partition('"')[0]
        of_run = await text(client, f"/runs/{run}")
        assert f'href="{path}"' in of_run, "its run's page leads back"
        assert "Diagnosis" in of_run
        assert "Reports" in of_run
        assert "no verdict" not in of_run
        await text(client, f"{path}?state=nothing", 422)
        await text(client, f"/portfolios/{'0' * 32}", 404)
        report = await client.get(f"/v1{path}/report?format=html")
        assert f'href="/runs/{run}"' in await report.text()


async def test_one_is_cancelled_and_its_runs_say_whose_they_are(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.5) as client:
        path = await started(client)
        async with asyncio.timeout(PATIENCE_S):
            while 'href="/runs/' not in (page := await text(client, path)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        run = page.partition('href="/runs/')[2].partition('"')[0]
        of_run = await text(client, f"/runs/{run}")
        assert f'href="{path}"' in of_run
        answer = await client.post(f"{path}/cancel")
        assert "cancelled" in words(await answer.text())
        assert "cancelled" in words(await over(client, f"/runs/{run}", "http-equiv"))


async def test_what_is_wrong_is_said_beside_its_field_and_nothing_typed_is_lost(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as client:
        for field, value, says in (
            ("date", "2999-01-01", "is in the future"),
            ("symbols", "???", "No symbol is left"),
            ("at_once", "9", "TRADING_GRAPH_PORTFOLIO_AT_ONCE"),
            ("at_once", "0", "greater than or equal to 1"),
            ("holdings", "much", "holding"),
            ("date", EVIL, "characters"),
        ):
            answer = await client.post("/portfolios", data={**TYPED, field: value})
            page = await answer.text()
            assert answer.status == 422
            assert says in page, (field, value)
            assert f'id="{field}-error"' in page
            if value == EVIL:
                assert_inert(page.partition("<main")[2])
        assert "There is no portfolio yet" in await text(client, "/portfolios")


def test_what_somebody_typed_is_inert() -> None:
    for name in ("symbols", "date", "dates", "holdings", "language"):
        typed = Input({name: [EVIL]}, {name: EVIL, "": EVIL})
        form = PortfolioForm(FORM.fields(typed), EVIL, True, "2025-11-14", 8, "key")
        assert_inert(render("portfolio_form.html", form=form))


async def test_one_of_another_process_and_one_that_is_damaged(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        path = await started(client)
        await over(client, path, "http-equiv")
        folder = PortfolioFolder(tmp_path / "portfolios", path.rpartition("/")[2])
        async with worked_on(folder):
            assert "Another process works on it" in await text(client, path)
        order = await asyncio.to_thread(folder.order_file.read_text)
        evil = order.replace("AAPL,NVDA,XYZQ", EVIL.replace("\\", "\\\\").replace('"', '\\"'))
        await asyncio.to_thread(folder.order_file.write_text, evil)
        for page in (path, "/portfolios"):
            assert_inert((await text(client, page)).partition("<main")[2])
        await asyncio.to_thread(folder.order_file.write_text, "{")
        assert "is no order of a portfolio" in await text(client, path, 409)
        assert "is no order of a portfolio" in await text(client, "/portfolios")


async def test_they_need_the_token_too(tmp_path: Path) -> None:
    async with opened(tmp_path, serve_token_sha256=(digest(TOKEN),)) as client:
        for path in ("/portfolios", f"/portfolios/{'0' * 32}"):
            answer = await client.get(path, allow_redirects=False)
            assert answer.status == HTTPStatus.SEE_OTHER
            assert answer.headers["Location"].startswith("/login")
        for path in ("/portfolios", f"/portfolios/{'0' * 32}/cancel"):
            answer = await client.post(path, data=TYPED, allow_redirects=False)
            assert answer.headers["Location"].startswith("/login")
        foreign = {"Origin": "http://evil.example"}
        answer = await client.post("/portfolios", data=TYPED, headers=foreign)
        assert answer.status == HTTPStatus.FORBIDDEN
        assert not await asyncio.to_thread((tmp_path / "portfolios").exists)
