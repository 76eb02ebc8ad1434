"""The pages as a browser without script gets them: forms, runs, errors, sessions."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from tests.patience import PATIENCE_S
from tests.service.server.markup import EVIL, Tags, assert_inert
from tests.service.server.open_service import has_begun, settings_for
from tests.service.server.test_page_parts import document
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.otel.redaction import Redactor
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.access import COOKIE, digest
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.serving import open_service
from trading_graph.service.settings import backend_choice
from trading_graph.service.store import RunState, StoredRun, StoredVerdict, now

TOKEN = "a-token-of-this-test"
HTML = {"Accept": "text/html,application/xhtml+xml"}


@contextlib.asynccontextmanager
async def opened(folder: Path, **changed: Any) -> AsyncIterator[TestClient[Any, Any]]:
    settings = settings_for(folder, **{"jaeger_url": "http://127.0.0.1:9", **changed})
    redactor = Redactor(settings.secrets, environment=os.environ)
    chosen = backend_choice(settings, offline=True)
    async with (
        open_service(settings, chosen, settings.out, redactor, offline=True) as app,
        TestClient(TestServer(app), headers=HTML) as client,
    ):
        await has_begun(app)
        yield client


def parts(client: TestClient[Any, Any]) -> ServiceContext:
    assert client.app is not None
    found: ServiceContext = client.app[SERVICE]
    return found


async def text(client: TestClient[Any, Any], path: str, status: int = 200) -> str:
    answer = await client.get(path)
    assert answer.status == status
    assert answer.content_type == "text/html"
    return await answer.text()


async def started(client: TestClient[Any, Any], **fields: str) -> str:
    answer = await client.post("/runs", data={"symbol": "NVDA", **fields}, allow_redirects=False)
    assert answer.status == HTTPStatus.SEE_OTHER, await answer.text()
    return answer.headers["Location"]


async def over(client: TestClient[Any, Any], path: str, going: str = "data-events") -> str:
    """The page once it lacks what it has while the work goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            page = await text(client, path)
            if going not in page:
                return page
            await asyncio.sleep(0.1)


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def kept(run_id: str, state: RunState, **more: Any) -> StoredRun:
    return StoredRun(
        id=run_id,
        request=RunRequest(symbol="NVDA"),
        symbol="NVDA",
        date="2025-11-14",
        state=state,
        trace_id=run_id,
        traceparent=None,
        idempotency_key=None,
        created=now(),
        **more,
    )


def verdict(id: str, name: str, service: str, said: str) -> StoredVerdict:
    return StoredVerdict(id, id, service, name, 1.0, 2.5, False, 3.0, said)


async def test_a_run_is_started_followed_and_read_without_script(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.3) as client:
        assert "Nothing runs now" in await text(client, "/")
        path = await started(client)
        live = await text(client, path)
        assert 'http-equiv="refresh"' in live
        assert f'data-events="/v1{path}/events"' in live
        async with asyncio.timeout(PATIENCE_S):
            while "1 running, 0 waiting" not in words(await text(client, "/")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        page = await over(client, path)
        home = await text(client, "/")
    assert "http-equiv" not in page, "a page of a run that is over stays as it is"
    said = words(page)
    for expected in (
        "Evidence",
        "Market analyst",
        "No more LLM calls in series than the graph needs",
        "proven",
        "dispatch analysts",
        "Who worked on what",
    ):
        assert expected in said
    assert "at 15 s a call it takes" in words(home)
    assert f'href="{path}"' in home
    assert said.count("Not investment advice") == 1


async def test_every_page_is_sound(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        path = await started(client)
        await over(client, path)
        for page in (await text(client, "/"), await text(client, path)):
            found = Tags(page).found
            ids = [attributes["id"] for _, attributes in found if "id" in attributes]
            assert len(ids) == len(set(ids))
            assert [tag for tag, _ in found].count("h1") == 1
            assert all("scope" in attributes for tag, attributes in found if tag == "th")
            labels = {attributes.get("for") for tag, attributes in found if tag == "label"}
            for tag, attributes in found:
                assert "style" not in attributes
                assert not [name for name in attributes if name.startswith("on")]
                hidden = attributes.get("type") in ("hidden", "checkbox")
                if tag in ("input", "select") and not hidden:
                    assert attributes["id"] in labels
            assert "#content" in [a.get("href") for tag, a in found if tag == "a"]
            # Without it a browser would send no origin with a form.
        assert (await client.get("/")).headers["Referrer-Policy"] == "same-origin"


async def test_what_was_typed_stays_when_it_cannot_be_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for fields, said in (
            ({"symbol": "NV DA"}, "is not a ticker symbol"),
            ({"symbol": "NVDA", "date": "2099-01-01"}, "2099-01-01"),
            ({"symbol": "NVDA", "risk_rounds": "77"}, "less than or equal to 5"),
            ({"symbol": EVIL}, "ticker symbol"),
            ({"symbol": "NVDA", "chosen": "1"}, "Give at least 1."),
            ({"symbol": "NVDA", "language": "Klingon"}, "is no language that is known here"),
        ):
            answer = await client.post("/runs", data=fields)
            page = await answer.text()
            assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
            assert said in words(page)
            assert 'role="alert"' in page
            for value in fields.values():
                assert value in [a.get("value") for tag, a in Tags(page).found if tag == "input"]
        assert await parts(client).store.runs() == []


async def test_a_full_queue_is_said_beside_the_form(tmp_path: Path) -> None:
    async with opened(
        tmp_path, serve_runs_at_once=1, serve_runs_in_line=0, chat_latency_s=5
    ) as client:
        path = await started(client)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if parts(client).queue.running:
                    break
                await asyncio.sleep(0.01)
        answer = await client.post("/runs", data={"symbol": "AAPL"})
        assert answer.status == HTTPStatus.TOO_MANY_REQUESTS
        assert "Retry-After" in answer.headers
        assert "ask again in" in words(await answer.text())
        answer = await client.post(f"{path}/cancel")
        assert "cancelled" in words(await answer.text())


async def test_a_form_that_is_sent_twice_starts_one_run(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        first = await started(client, key="k")
        assert await started(client, key="k") == first
        assert await started(client, symbol="AAPL", key="k") != first


async def test_nothing_that_was_kept_becomes_markup(tmp_path: Path) -> None:
    run_id, other = "0" * 31 + "1", "0" * 31 + "2"
    async with opened(tmp_path) as client:
        store = parts(client).store
        await store.add(kept(run_id, RunState.FAILED, error=EVIL, langsmith="javascript:alert(1)"))
        await store.keep_verdict(verdict(run_id, EVIL, "trading-graph", document(measured=EVIL)))
        await store.keep_verdict(verdict(other, EVIL, EVIL, document(advice=EVIL)))
        for path in ("/", f"/runs/{run_id}", f"/traces/{other}"):
            page = await text(client, path)
            assert page.count("<script") == page.count('<script src="/static/'), "the page's own"
            assert_inert(page.replace("<script", "<noscript"))
            assert 'href="javascript' not in page


async def test_traces_of_other_services_have_pages(tmp_path: Path) -> None:
    run_id, other = "0" * 31 + "1", "0" * 31 + "2"
    async with opened(tmp_path) as client:
        store = parts(client).store
        await store.add(kept(run_id, RunState.DONE))
        await store.keep_verdict(verdict(run_id, "ours", "trading-graph", document()))
        await store.keep_verdict(verdict(other, "GET /checkout", "shop", document()))
        home = await text(client, "/")
        assert f'href="/traces/{other}"' in home
        assert f'href="/traces/{run_id}"' not in home
        assert "Trace of shop" in words(await text(client, f"/traces/{other}"))
        answer = await client.get(f"/traces/{run_id}", allow_redirects=False)
        assert answer.headers["Location"] == f"/runs/{run_id}"
        await text(client, f"/traces/{'0' * 32}", 502)


async def test_the_list_is_filtered_by_its_form_and_says_when_nothing_fits(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as client:
        store = parts(client).store
        for number, (state, passed) in enumerate(
            ((RunState.DONE, True), (RunState.DONE, False), (RunState.CANCELLED, False)), 1
        ):
            await store.add(kept(f"{number:032x}", state, passed=passed))
        await store.keep_verdict(verdict("a" * 32, "GET /checkout", "shop", document()))

        async def shown(query: str) -> set[str]:
            page = await text(client, f"/?{query}")
            return set(re.findall(r'id="tick-([0-9a-f]{32})"', page))

        runs = [f"{number:032x}" for number in (1, 2, 3)]
        unchosen = "kind=&state=&verdict=&service=&symbol="
        assert await shown(unchosen) == {*runs, "a" * 32}
        assert await shown("kind=run") == set(runs)
        assert await shown("kind=trace") == {"a" * 32}
        assert await shown("state=cancelled") == {runs[2]}
        assert await shown("state=done&verdict=failed") == {runs[1]}
        assert await shown("service=shop") == {"a" * 32}
        assert await shown("service=trading-graph") == set(runs)
        assert await shown("symbol=nvda&verdict=passed") == {runs[0]}
        page = await text(client, "/?symbol=AAPL&state=failed")
        assert "Nothing here is as the filter asks" in page
        chosen = [a["value"] for _, a in Tags(page).found if a.get("id") == "filter-symbol"]
        assert chosen == ["AAPL"], "what was chosen stays"
        assert '<option value="failed" selected>' in page
        for wrong, said in (
            ("kind=traces", "kind: give 'run' or 'trace'"),
            ("verdict=maybe", "verdict: give 'passed', 'failed' or 'none'"),
            ("symbol=NV%20DA", "is not a ticker symbol"),
            ("after=x", "after: give an id of 32 hexadecimal digits"),
            ("limit=3", "limit: there is no such field"),
        ):
            assert said in unescape(words(await text(client, f"/?{wrong}", 422)))


async def test_pages_of_the_list_lead_both_ways_and_keep_the_filter(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        store = parts(client).store
        for number in range(1, 61):
            run = kept(f"{number:032x}", RunState.DONE, passed=True)
            await store.add(replace(run, created=float(number)))

        async def turn(path: str, word: str) -> tuple[str, list[int]]:
            page = await text(client, path)
            (address,) = re.findall(rf'<a href="([^"]+)">{word}</a>', page) or [""]
            ids = re.findall(r'id="tick-([0-9a-f]{32})"', page)
            return address.replace("&amp;", "&"), [int(id, 16) for id in ids]

        older, first = await turn("/?verdict=passed", "Older")
        assert first == list(range(60, 35, -1))
        assert "verdict=passed" in older
        older, second = await turn(older, "Older")
        assert second == list(range(35, 10, -1))
        newer, last = await turn(older, "Newer")
        assert last == list(range(10, 0, -1))
        newer, back = await turn(newer, "Newer")
        assert back == second
        newer, back = await turn(newer, "Newer")
        assert (newer, back) == ("", first)


async def test_a_run_is_run_again_with_the_same_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        path = await started(client, max_calls="40", date="2025-11-07")
        await over(client, path)
        first = path.rpartition("/")[2]
        page = await text(client, path)
        fields = [a for tag, a in Tags(page).found if tag in ("input", "button")]
        assert [a["value"] for a in fields if a.get("name") == "run"] == [first]
        assert len([a for a in fields if a.get("name") == "key" and a["value"]]) == 1
        assert 'action="/runs/again"' in page
        form = {"run": first, "key": "k"}
        answer = await client.post("/runs/again", data=form, allow_redirects=False)
        assert answer.status == HTTPStatus.SEE_OTHER
        second = answer.headers["Location"].rpartition("/")[2]
        store = parts(client).store
        one, two = await store.run(first), await store.run(second)
        assert one is not None
        assert two is not None
        assert (two.id != one.id, two.request) == (True, one.request)
        answer = await client.post("/runs/again", data=form, allow_redirects=False)
        assert answer.headers["Location"].rpartition("/")[2] == second, "a double click"
        for run in ("0" * 32, "x", EVIL):
            answer = await client.post("/runs/again", data={"run": run, "key": "k"})
            assert answer.status == HTTPStatus.NOT_FOUND


async def test_two_that_are_ticked_are_compared_the_older_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        paths = [await started(client, symbol=symbol) for symbol in ("NVDA", "AAPL")]
        for path in paths:
            await over(client, path)
        old, new = (path.rpartition("/")[2] for path in paths)
        answer = await client.get(f"/compare?trace={new}&trace={old}", allow_redirects=False)
        assert answer.headers["Location"] == f"/compare?base={old}&new={new}"
        page = await text(client, answer.headers["Location"])
        said = words(page)
        assert "AAPL as of 2025-11-14" in said
        assert "Where the time of the critical path moved" in said
        assert f'href="/runs/{old}"' in page
        assert f'href="/compare?base={new}&amp;new={old}"' in page
        assert 'href="/#work"' in page, "and back to the list"
        await text(client, f"/compare?base={old}&new={'0' * 32}", 502)
        for wrong in ("", f"?trace={old}", f"?trace={old}&trace={old}", "?base=x&new=y"):
            await text(client, f"/compare{wrong}", 422)


async def test_errors_are_pages_for_browsers_and_problems_for_programs(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for path in ("/nowhere", f"/runs/{'0' * 32}", "/runs/x", f"/v1/runs/{'0' * 32}"):
            assert "404" in words(await text(client, path, 404))
            answer = await client.get(path, headers={"Accept": "*/*"})
            assert answer.content_type == "application/problem+json"
        await text(client, "/?before=x", 422)
        answer = await client.post("/runs", data={"symbol": "x" * 100_000})
        assert answer.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        answer = await client.post("/runs", json={"symbol": "NVDA"})
        assert answer.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        answer = await client.post("/runs", data={str(n): "" for n in range(99)})
        assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY
        answer = await client.get("/", headers={"Host": "evil.example"})
        assert answer.status == HTTPStatus.MISDIRECTED_REQUEST
        assert "offline rules" not in await answer.text()


async def test_a_page_of_another_origin_starts_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for origin in ("https://evil.example", "null"):
            answer = await client.post("/runs", data={"symbol": "NVDA"}, headers={"Origin": origin})
            assert answer.status == HTTPStatus.FORBIDDEN
        assert await parts(client).store.runs() == []


async def test_what_pages_load_is_served_and_may_be_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        page = await text(client, "/")
        paths = re.findall(r'"(/static/[^"]+)"', page)
        assert {path.rpartition("/")[2] for path in paths} == {
            *("icon.svg", "style.css", "feed.js", "live.js")
        }
        for path in paths:
            answer = await client.get(path)
            assert answer.status == HTTPStatus.OK
            assert "immutable" in answer.headers["Cache-Control"]
        assert (await client.get("/static/old/style.css")).headers["Cache-Control"] == "no-store"
        assert (await client.get("/static/x/secret.txt")).status == HTTPStatus.NOT_FOUND


def cookie(answer: ClientResponse) -> str:
    return answer.headers["Set-Cookie"]


async def test_with_tokens_a_browser_logs_in_and_out(tmp_path: Path) -> None:
    async with opened(tmp_path, serve_token_sha256=(digest(TOKEN),)) as client:
        answer = await client.get("/?before=1", allow_redirects=False)
        assert answer.status == HTTPStatus.SEE_OTHER
        assert answer.headers["Location"] == "/login?next=%2F%3Fbefore%3D1"
        assert (await client.get("/", headers={"Accept": "*/*"})).status == HTTPStatus.UNAUTHORIZED
        page = await text(client, "/login?next=/runs/1")
        assert "offline rules" not in page
        assert ("input", "/runs/1") in [(tag, a.get("value")) for tag, a in Tags(page).found]

        answer = await client.post("/login", data={"token": "wrong", "next": "/"})
        assert answer.status == HTTPStatus.FORBIDDEN
        assert "does not know this token" in words(await answer.text())
        assert "wrong" not in words(await answer.text())

        form = {"token": TOKEN, "next": "//evil.example"}
        answer = await client.post("/login", data=form, allow_redirects=False)
        assert answer.headers["Location"] == "/"
        assert COOKIE in cookie(answer)
        assert TOKEN not in cookie(answer)
        for attribute in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="):
            assert attribute in cookie(answer)
        assert "Secure" not in cookie(answer)

        assert "Log out" in await text(client, "/")
        assert (await client.get("/v1/runs")).status == HTTPStatus.OK
        session = client.session.cookie_jar.filter_cookies(client.make_url("/"))[COOKIE].value
        await client.post("/logout")
        answer = await client.get("/", headers={"Cookie": f"{COOKIE}={session}"})
        assert answer.url.path == "/login", "the session has ended, whoever kept its cookie"


async def test_a_cookie_that_came_over_tls_goes_over_tls_only(tmp_path: Path) -> None:
    async with opened(tmp_path, serve_token_sha256=(digest(TOKEN),)) as client:
        origin = f"https://{client.host}:{client.port}"
        answer = await client.post(
            "/login", data={"token": TOKEN}, headers={"Origin": origin}, allow_redirects=False
        )
        assert "Secure" in cookie(answer)


async def test_without_tokens_there_is_nothing_to_log_in_to(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        answer = await client.get("/login?next=/nowhere", allow_redirects=False)
        assert answer.headers["Location"] == "/nowhere"
        assert "Log out" not in await text(client, "/")


async def test_a_service_that_runs_for_days_offers_the_day_of_each_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as client:
        assert 'placeholder="2025-11-14"' in await text(client, "/")
        live = replace(parts(client), choice=BackendChoice(data="live"))
        for day in (17, 18):
            late = datetime(2025, 11, day, 20, tzinfo=UTC)
            monkeypatch.setattr("trading_graph.service.run.request.utc_now", lambda now=late: now)
            assert live.default_date == f"2025-11-{day}"
