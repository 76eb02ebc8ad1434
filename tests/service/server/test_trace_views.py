"""Views of traces over HTTP: made once by a bounded process, anew when the trace has changed."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from tests.bench.spans import span
from tests.service.server.open_service import opened
from tests.service.server.slow_trace import FAILING, SLOW, id_of, slow_spans, write_trace
from trading_graph.service.run.folder import TRACE
from trading_graph.service.server.judging import Judgement, Judging
from trading_graph.service.server.trace_views import TraceViews

NOWHERE = "http://127.0.0.1:9"


class CountedJudging(Judging):
    """Counts the processes that it starts."""

    count = 0

    async def command(self, words: Sequence[str], folder: Path) -> Judgement:
        self.count += 1
        return await super().command(words, folder)


async def test_those_who_ask_at_once_share_a_process_and_a_changed_file_gets_another(
    tmp_path: Path,
) -> None:
    spans = slow_spans()
    await asyncio.to_thread(write_trace, tmp_path, spans[:-1], "a" * 32)
    word = str(tmp_path / ("a" * 32) / TRACE)
    judging = CountedJudging(NOWHERE)
    views = TraceViews(judging)
    leaver = asyncio.create_task(views.view(word))
    await asyncio.sleep(0)
    others = [asyncio.create_task(views.view(word)) for _ in range(3)]
    await asyncio.sleep(0.01)
    leaver.cancel()
    first, *more = await asyncio.gather(*others)
    assert all(each is first for each in more)
    assert await views.view(word) is first
    assert judging.count == 1
    await asyncio.to_thread(write_trace, tmp_path / "new", spans, "a" * 32)
    await asyncio.to_thread((tmp_path / "new" / ("a" * 32) / TRACE).replace, word)
    again = await views.view(word)
    assert len(again.document.spans.id) == len(first.document.spans.id) + 1
    assert judging.count == 2


async def test_a_trace_is_read_span_by_span_and_played_again(tmp_path: Path) -> None:
    async with opened(tmp_path, jaeger_url=NOWHERE, begun=False) as service:
        page = await asyncio.to_thread(write_trace, tmp_path / "runs", slow_spans())
        api = f"/v1{page}"
        view = await service.get(f"{api}/view")
        assert len(view["spans"]["id"]) == len(slow_spans())
        slow = await service.get(f"{api}/spans/{id_of(SLOW)}")
        assert (slow["wait_ms"], slow["wait_kind"]) == (400.0, "semaphore")
        failing = await service.get(f"{api}/spans/{id_of(FAILING)}")
        assert (failing["status"], failing["checks"]) == ("error", ["turns", "errors"])
        assert failing["events"][0]["name"] == "retry"
        assert "no span of this id" in (await service.get(f"{api}/spans/x", 404))["detail"]

        finding = view["findings"][0]
        played = await service.get(f"{api}/what-if?findings=1")
        gain = played["before_s"] - played["wall_s"]["likely"]
        assert abs(gain - finding["gain_s"]["likely"]) < 1e-6
        wrong = await service.get(f"{api}/what-if?findings=99", 422)
        assert "numbered from 1 to" in wrong["detail"]
        await service.get(f"{api}/what-if?findings=0", 422)
        await service.get(f"{api}/what-if?findings=1;rm", 422)

        async with service.http.get(f"{api}/diagnosis?format=html") as answer:
            assert f'<a href="{page}">Back to the trace</a>' in await answer.text()


async def test_a_trace_that_passes_says_how_much_of_it_was_in_series(tmp_path: Path) -> None:
    async with opened(tmp_path, jaeger_url=NOWHERE, begun=False) as service:
        calls = [span(3 + n, 2, "query stock", 900 * n, 900 * (n + 1)) for n in range(5)]
        spans = [span(1, 0, "handle order", 0, 5000), span(2, 1, "look up", 0, 4500), *calls]
        path = await asyncio.to_thread(write_trace, tmp_path / "runs", spans)
        view = await service.get(f"/v1{path}/view")
        finding = next(each for each in view["findings"] if each["kind"] == "serial calls")
        async with service.http.get(path, headers={"Accept": "text/html"}) as answer:
            page = await answer.text()
    gain = f"up to {finding['gain_s']['high']:.2f} s to gain"
    assert f"5 spans ran one after the other: {gain}" in page
    assert 'class="badge good">passed' in page
    assert finding["gain_s"]["low"] == 0
    assert "may gain <b>up to" in page, "what is not certain is not promised"
    assert f'href="#finding-{finding["number"]}"' in page
    assert f'id="finding-{finding["number"]}"' in page
    assert re.search(r'<details class="more why-slow" open>\s*<summary><b>Why so slow\?', page)


async def test_a_page_says_why_a_trace_has_no_view(tmp_path: Path) -> None:
    async with opened(tmp_path, jaeger_url=NOWHERE, begun=False) as service:
        folder = tmp_path / "runs" / ("b" * 32)
        await asyncio.to_thread(folder.mkdir, parents=True)
        await asyncio.to_thread((folder / TRACE).write_text, "no trace\n")
        async with service.http.get(f"/traces/{'b' * 32}", headers={"Accept": "text/html"}) as page:
            assert page.status == 422
            assert TRACE in await page.text()
