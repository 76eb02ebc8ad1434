"""A run over HTTP from asking to its decision, and what every answer on the way says."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from yarl import URL

from tests.service.server.open_service import ASK, opened

TRACE_ID, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{CALLER}-01"


def spans(folder: Path, run_id: str) -> list[dict[str, Any]]:
    return [
        span
        for line in (folder / "runs" / run_id / "trace.jsonl").read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


async def test_a_run_leaves_everything_that_its_links_name(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        run = await service.start(
            analysts=["market", "news"],
            holdings=[{"symbol": "aapl", "quantity": 3, "price": 200}],
            cash={"amount": 5000, "currency": "USD"},
        )
        assert run["state"] == "queued"
        assert run["request"]["holdings"][0]["symbol"] == "AAPL"
        assert run["trace_id"] == run["id"]
        run = await service.over(run["id"])
        assert run["state"] == "done", run
        links = run["links"]
        assert run["passed"] is not None
        decision = await service.get(links["decision"])
        assert decision["run_id"] == run["id"]
        assert decision["decision"]["action"] == run["action"]
        assert decision["order"]["quantity_before"] == 3
        verdict = await service.get(links["verdict"])
        assert verdict["complete"]
        assert verdict["trace_id"] == run["trace_id"]
        async with service.http.get(links["report"]) as answer:
            report = await answer.text()
            assert report.startswith("# AAPL as of 2025-11-14")
            assert answer.content_type == "text/markdown"
            (chart,) = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", report)
            assert answer.url.join(URL(chart)).path == links["chart"], "as a viewer resolves it"
        async with service.http.get(links["chart"]) as answer:
            assert answer.content_type == "image/svg+xml"
            policy = answer.headers["Content-Security-Policy"]
            assert {"default-src 'none'", "sandbox"} <= set(policy.split("; "))
            assert "script" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            ElementTree.fromstring(await answer.text())
        async with service.http.get(links["page"]) as answer:
            assert f'src="{links["chart"]}"' in await answer.text()
        async with service.http.get(links["trace"]) as answer:
            lines = (await answer.text()).splitlines()
        assert all("resourceSpans" in json.loads(line) for line in lines)
        diagnosis = await service.get(links["diagnosis"])
        assert diagnosis
        async with service.http.get(f"{links['diagnosis']}?format=html") as answer:
            assert answer.content_type == "text/html"
            assert "<html" in await answer.text()
        told = await service.events(run["id"])
    assert [each["id"] for each in told] == list(range(1, len(told) + 1))
    kinds = [each["type"] for each in told]
    assert kinds[0] == "run.started"
    assert kinds[-2:] == ["verdict", "finished"]
    recorded = await asyncio.to_thread(spans, tmp_path, run["id"])
    ended = {each["span_id"] for each in told if each["type"].endswith(".ended")}
    assert ended <= {span["spanId"] for span in recorded}
    assert sum(kind == "llm.ended" for kind in kinds) == sum(
        span["name"].startswith("chat ") for span in recorded
    )


async def test_what_a_run_will_leave_is_not_there_before_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path, chat_latency_s=0.5) as service:
        run = await service.start()
        for name in ("decision", "report", "verdict"):
            problem = await service.get(run["links"][name], 404)
            assert "follow its events" in problem["detail"]
        await service.post(f"/v1/runs/{run['id']}/cancel", status=200)
        problem = await service.get(run["links"]["decision"], 404)
        assert "is cancelled and left no" in problem["detail"]


async def test_two_runs_go_on_in_one_callers_trace(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        runs = [await service.post("/v1/runs", ASK, 202, traceparent=TRACEPARENT) for _ in range(2)]
        assert {run["trace_id"] for run in runs} == {TRACE_ID}
        assert runs[0]["id"] != runs[1]["id"]
        for run in runs:
            over = await service.over(run["id"])
            assert over["state"] == "done", over
            verdict = await service.get(run["links"]["verdict"])
            assert verdict["complete"], "only its own subtree is judged"
            assert TRACE_ID in run["links"]["jaeger"]
            recorded = await asyncio.to_thread(spans, tmp_path, run["id"])
            assert {span["traceId"] for span in recorded} == {TRACE_ID}
            ids = {span["spanId"] for span in recorded}
            (top,) = (span for span in recorded if span.get("parentSpanId") not in ids)
            assert top["parentSpanId"] == CALLER


async def test_a_caller_that_is_no_trace_context_starts_a_new_trace(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        for wrong in ("nonsense", f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE_ID}-{'0' * 16}-01"):
            run = await service.post("/v1/runs", ASK, 202, traceparent=wrong)
            assert run["trace_id"] == run["id"]


async def test_runs_are_listed_in_pages_newest_first(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        made = [(await service.start(symbol=symbol))["id"] for symbol in ("AAPL", "NVDA", "AAPL")]
        for run_id in made:
            await service.over(run_id)
        page = await service.get("/v1/runs?limit=2")
        assert [run["id"] for run in page["runs"]] == [made[2], made[1]]
        rest = await service.get(f"/v1/runs?limit=2&before={page['next']}")
        assert [run["id"] for run in rest["runs"]] == [made[0]]
        assert rest["next"] is None
        only = await service.get("/v1/runs?symbol=nvda&state=done")
        assert [run["id"] for run in only["runs"]] == [made[1]]
        for wrong in ("limit=0", "limit=1&limit=2", "state=lost", "colour=red", "before=1"):
            assert (await service.get(f"/v1/runs?{wrong}", 422))["detail"]


def _twice() -> bytes:
    """A request that gives a holding twice."""
    holding = {"symbol": "AAPL", "quantity": 1, "price": 100}
    return json.dumps({"symbol": "AAPL", "holdings": [holding, holding]}).encode()


async def test_every_error_is_a_problem(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        json_type = {"Content-Type": "application/json"}
        plain = {"Content-Type": "text/plain"}
        deep = b"[" * 30_000 + b"]" * 30_000
        for method, path, headers, body, status in [
            ("GET", "/nothing", {}, b"", 404),
            ("GET", "/v1/runs/" + "0" * 32, {}, b"", 404),
            ("GET", "/v1/runs/short", {}, b"", 404),
            ("DELETE", "/v1/runs", {}, b"", 405),
            ("POST", "/v1/runs", json_type, b"x" * 70_000, 413),
            ("POST", "/v1/runs", plain, b"{}", 415),
            ("POST", "/v1/runs", json_type, b"", 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": ', 422),
            ("POST", "/v1/runs", json_type, b"[]", 422),
            ("POST", "/v1/runs", json_type, deep, 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "AAPL", "url": "x"}', 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "no symbol"}', 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "AAPL", "date": "soon"}', 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "AAPL", "analysts": []}', 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "AAPL", "agent_budget": 1e999}', 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "AAPL", "holdings": "/etc/passwd"}', 422),
            ("POST", "/v1/runs", json_type, b'{"symbol": "AAPL", "cash": {"amount": -1}}', 422),
            ("POST", "/v1/runs", json_type, _twice(), 422),
        ]:
            sent = service.http.request(method, path, headers=headers, data=body)
            async with sent as answer:
                assert answer.status == status, (method, path, body[:50], await answer.text())
                assert answer.content_type == "application/problem+json"
                problem = json.loads(await answer.read())
            assert problem["status"] == status
            assert problem["detail"].endswith((".", "s."))
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (await service.get("/v1/runs"))["runs"] == [], "nothing of this was queued"
