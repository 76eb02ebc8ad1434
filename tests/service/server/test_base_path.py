"""The service below a path of its host: no address that it gives leads anywhere else."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.library.traces import trace_json
from tests.patience import PATIENCE_S
from tests.service.server.markup import Tags
from tests.service.server.open_service import FINAL, Service, opened
from tests.service.server.reverse_proxy import below
from trading_graph.service.errors import SettingsError
from trading_graph.service.server.access import digest
from trading_graph.service.server.base_path import parse_base_path
from trading_graph.service.server.pages import layout
from trading_graph.toolkit.loopback import LoopbackServer

BASE = "/trading"
HTML = {"Accept": "text/html"}
TOKEN = "a token of tests, of no value"
PAGES = Path(str(layout.__file__)).parent
LEADING = ("href", "src", "action", "data-trace", "data-events")
"""The attributes that hold addresses."""
NOT_FOLLOWED = re.compile("/cancel$|/again$|/logout$|/events$|/diagnosis|/v1/traces/[0-9a-f]+$")
"""Forms take no GET, streams do not end, a diagnosis takes seconds; scripts add to the last."""


@contextlib.asynccontextmanager
async def behind_proxy(service: Service, strays: list[str]) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a proxy before the service."""
    proxy = LoopbackServer(below(service.url, BASE, strays))
    await asyncio.to_thread(proxy.start)
    try:
        jar = aiohttp.CookieJar(unsafe=True)  # which keeps those of addresses
        async with aiohttp.ClientSession(proxy.url, headers=HTML, cookie_jar=jar) as http:
            yield http
    finally:
        await asyncio.to_thread(proxy.stop)


def addresses(text: str) -> Iterator[str]:
    """All addresses of a page that lead to its own host."""
    for tag, attributes in Tags(text).found:
        for name in LEADING:
            value = attributes.get(name)
            if value is not None and not value.startswith(("#", "http://127.0.0.1:9/")):
                yield unescape(value)
            elif value is None and name == "action" and tag == "form":
                yield ""


def paths_in(document: Any) -> Iterator[str]:
    """All texts of a JSON document that are paths."""
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from paths_in(each)
    elif isinstance(document, str) and document.startswith("/"):
        yield document


async def walk(http: aiohttp.ClientSession, start: str) -> set[str]:
    """Follow every link from a page on; gives all addresses, each below the base path."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        path = ahead.pop().partition("#")[0]
        if path in seen:
            continue
        seen.add(path)
        if NOT_FOLLOWED.search(path):
            continue
        async with http.get(path) as answer:
            body = await answer.text() if answer.content_type.startswith("text/html") else ""
            assert answer.status < 400 or answer.status in (405, 422), (path, body)
        found = list(addresses(body))
        assert [each for each in found if not f"{each}/".startswith(f"{BASE}/")] == [], path
        ahead.extend(found)
    return seen


async def post(http: aiohttp.ClientSession, path: str, data: Any) -> str:
    """Send a form; gives the address that it leads to."""
    async with http.post(path, data=data, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]


async def test_every_address_on_every_page_is_below_the_base_path(tmp_path: Path) -> None:
    strays: list[str] = []
    trace = trace_json()
    settings: dict[str, Any] = {
        "serve_proxies": ("127.0.0.1",),
        "serve_token_sha256": (digest(TOKEN),),
        "jaeger_url": "http://127.0.0.1:9",
        "serve_runs_at_once": 1,
        "chat_latency_s": 0.1,
    }
    async with opened(tmp_path, **settings) as service, behind_proxy(service, strays) as http:
        async with http.get(f"{BASE}/", allow_redirects=False) as answer:
            question = answer.headers["Location"]
        assert question == f"{BASE}/login?next=%2F"
        login = await walk(http, question)
        assert f"{BASE}/login" in login
        form = {"token": TOKEN, "next": "/portfolios"}
        async with http.post(f"{BASE}/login", data=form, allow_redirects=False) as answer:
            assert answer.headers["Location"] == f"{BASE}/portfolios"
            (cookie,) = answer.cookies.values()
            assert cookie["path"] == f"{BASE}/"

        started = {"symbol": "AAPL", "analysts": "market", "chosen": "1"}
        runs = [await post(http, f"{BASE}/runs", {**started, "key": key}) for key in ("one", "two")]
        portfolio = await post(
            http, f"{BASE}/portfolios", {"symbols": "AAPL", "analysts": "market", "chosen": "1"}
        )
        data = aiohttp.FormData({"id": ""})
        data.add_field("file", trace, filename="trace.json")
        shown = await post(http, f"{BASE}/traces", data)
        going_on = await walk(http, runs[1])
        ids = [run.rpartition("/")[2] for run in runs]
        assert {f"{BASE}/v1/runs/{ids[1]}/events", f"{runs[1]}/cancel"} <= going_on
        for path in (*runs, portfolio):
            await _over(http, f"{BASE}/v1{_below(path)}")

        home = await walk(http, f"{BASE}/")
        assert {*runs, f"{BASE}/portfolios", f"{BASE}/compare", f"{BASE}/logout"} <= home
        assert {f"{BASE}/v1/runs/{ids[0]}/trace", portfolio, f"{portfolio}/cancel"} - home == {
            f"{portfolio}/cancel"
        }
        assert f"{shown}/spans" in await walk(http, shown)
        compared = f"{BASE}/compare?trace={ids[0]}&trace={ids[1]}"
        async with http.get(compared) as answer:
            assert answer.url.path == f"{BASE}/compare"
            assert [each for each in addresses(await answer.text()) if BASE not in each] == []

        for path in ("/v1/runs", f"/v1/runs/{ids[0]}", "/v1/portfolios", "/v1/verdicts"):
            document = await _json(http, f"{BASE}{path}")
            found = list(paths_in(document))
            assert found, path
            assert [each for each in found if not each.startswith(f"{BASE}/")] == []
        description = await _json(http, f"{BASE}/v1/openapi.json")
        assert description["servers"] == [{"url": BASE}]
        for page in (f"/v1/runs/{ids[0]}/diagnosis", f"/v1{_below(portfolio)}/report"):
            async with http.get(f"{BASE}{page}?format=html") as answer:
                back = [each for each in addresses(await answer.text()) if each]
            assert back, page
            assert [each for each in back if not each.startswith(f"{BASE}/")] == []
        async with http.get(f"{BASE}/v1/feed") as answer:
            assert (await answer.content.readline()).startswith(b"event: hello")
        assert await post(http, f"{BASE}/logout", {}) == f"{BASE}/login"
        assert not [*http.cookie_jar]
    assert strays == []


def _below(path: str) -> str:
    return path.removeprefix(BASE)


async def _over(http: aiohttp.ClientSession, path: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await _json(http, path))["state"] not in (*FINAL, "over"):  # noqa: ASYNC110 - it is asked
            await asyncio.sleep(0.05)


async def _json(http: aiohttp.ClientSession, path: str) -> Any:
    async with http.get(path, headers={"Accept": "application/json"}) as answer:
        assert answer.status == 200, await answer.text()
        return json.loads(await answer.read())


async def test_a_proxy_that_passes_whole_paths_needs_the_setting_alone(tmp_path: Path) -> None:
    async with opened(tmp_path, serve_base_path="trading/") as service:
        for path in (f"{BASE}/", BASE, "/"):
            async with service.http.get(f"{path}?kind=run", headers=HTML) as answer:
                text = await answer.text()
                assert answer.status == 200, path
            assert '<option value="run" selected>' in text, "what is asked for comes through"
            assert [each for each in addresses(text) if not each.startswith(f"{BASE}/")] == []
        run = await service.post(f"{BASE}/v1/runs", {"symbol": "AAPL", "analysts": ["market"]}, 202)
        assert run["links"]["self"] == f"{BASE}/v1/runs/{run['id']}"
        await service.over(run["id"])
        await service.get("/tradings/", 404)
        metrics = f"{BASE}/metrics"
        async with service.http.get(metrics) as answer:
            assert 'http_route="/v1/runs"' in await answer.text(), "a route is named without it"


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "/a/../b", '/"><script>', "http://evil.example", "/a b", "/\\evil"]
)
async def test_a_prefix_that_is_no_path_is_not_believed(tmp_path: Path, prefix: str) -> None:
    assert await _brand(tmp_path, {"serve_proxies": ("127.0.0.1",)}, prefix) in (
        "/",
        "/evil.example/",  # a path of this host, as any other
    )


async def test_a_prefix_is_believed_of_trusted_proxies_only(tmp_path: Path) -> None:
    trusted = await _brand(tmp_path, {"serve_proxies": ("127.0.0.1",)}, "/team/a/")
    assert trusted == "/team/a/"
    assert await _brand(tmp_path, {"serve_proxies": ("10.0.0.0/8",)}, "/team/a") == "/"


async def _brand(folder: Path, settings: dict[str, Any], prefix: str) -> str:
    """Where the name of the service leads on the home page."""
    async with (
        opened(folder, begun=False, **settings) as service,
        service.http.get("/", headers={**HTML, "X-Forwarded-Prefix": prefix}) as answer,
    ):
        tags = Tags(await answer.text()).found
    (brand,) = (each["href"] for _, each in tags if each.get("class") == "brand")
    assert brand is not None
    return brand


async def test_a_base_path_that_looks_like_a_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot begin with /runs"):
        async with opened(tmp_path, serve_base_path="/runs/here"):
            pass


def test_what_a_base_path_is() -> None:
    for text in ("", "/", "//"):
        assert parse_base_path(text) == ""
    assert parse_base_path("a/b_c.d/") == "/a/b_c.d"
    for text in ("a//b", "/a/..", "/.hidden", "/a?b", "/ä", "/a\n", "/" + 201 * "a", 17 * "/a"):
        with pytest.raises(ValueError, match="/trading"):
            parse_base_path(text)


def test_no_template_and_no_script_has_a_bare_path() -> None:
    templates = sorted((PAGES / "templates").glob("*.html"))
    scripts = sorted(PAGES.glob("*.js"))
    assert len(templates) > 20
    assert len(scripts) > 3
    for template in templates:
        found = re.findall(
            rf'\b(?:{"|".join(LEADING)})="(\{{\{{.*?\}}\}}"|[^#"]*")', template.read_text()
        )
        bare = [each for each in found if not each.endswith(('|address }}"', '{{ to }}"', '"#'))]
        assert [each for each in bare if each != '"'] == [], template.name
    for script in scripts:
        bare = re.findall(r"""(["'`]/[a-z][^"'`]*["'`])""", script.read_text())
        assert bare == [], script.name
