"""Any trace over HTTP: by id or uploaded; a verdict, a diagnosis, a comparison."""

import asyncio
import io
import json
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.jaeger_process import JaegerProcess
from tests.service.foreign_program import ForeignProgram, id_of, send, written
from tests.service.server.open_service import Service, opened
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.store import StoredVerdict, now

NOWHERE = "http://127.0.0.1:9"
UNKNOWN = "a" * 32
LINES = "application/x-ndjson"


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with opened(tmp_path, jaeger_url=NOWHERE, serve_upload_mib=1) as service:
        yield service


async def upload(
    service: Service, path: str, content: bytes, kind: str = LINES
) -> tuple[int, bytes]:
    data, headers = io.BytesIO(content), {"Content-Type": kind}
    async with service.http.post(path, data=data, headers=headers) as answer:
        return answer.status, await answer.read()


async def problem(service: Service, path: str, content: bytes, kind: str = LINES) -> Any:
    status, text = await upload(service, path, content, kind)
    document = json.loads(text)
    assert document["status"] == status
    return document


def form(base: list[bytes], new: list[bytes]) -> aiohttp.FormData:
    found = aiohttp.FormData()
    for name, files in (("base", base), ("new", new)):
        for content in files:
            found.add_field(name, content, filename="../../etc/passwd")
    return found


async def test_an_upload_is_judged(service: Service) -> None:
    spans = ForeignProgram().trace()
    for kind in (LINES, "application/json", "application/octet-stream"):
        status, text = await upload(service, "/v1/verdicts", written(spans), kind)
        assert status == 200
        assert json.loads(text)["trace_id"] == id_of(spans)


async def test_a_client_may_wait_until_its_body_is_asked_for(service: Service) -> None:
    content = written(ForeignProgram().trace())
    headers = {"Content-Type": LINES}
    async with service.http.post(
        "/v1/verdicts", data=content, headers=headers, expect100=True
    ) as answer:
        assert answer.status == 200
    async with service.http.post(
        "/v1/comparisons", data=form([content], [content]), expect100=True
    ) as answer:
        assert answer.status == 200


async def test_an_incomplete_one_is_an_answer(service: Service) -> None:
    status, text = await upload(service, "/v1/verdicts", written(ForeignProgram().trace()[:-1]))
    assert status == 200
    assert json.loads(text)["complete"] is False
    assert json.loads(text)["passed"] is None
    refused = await problem(service, "/v1/diagnoses", written(ForeignProgram().trace()[:-1]))
    assert refused["status"] == 422
    assert "root span is missing" in refused["detail"]


async def test_one_of_several_is_named_by_its_id_and_by_nothing_else(service: Service) -> None:
    program = ForeignProgram()
    first, second = program.trace(), program.trace()
    both = written([*first, *second])
    assert "name one with --id" in (await problem(service, "/v1/verdicts", both))["detail"]
    status, text = await upload(service, f"/v1/verdicts?id={id_of(second)}", both)
    assert status == 200
    assert json.loads(text)["trace_id"] == id_of(second)
    for wrong in ("--gate=/etc/passwd", "-h", "x", "A" * 31):
        refused = await problem(service, f"/v1/verdicts?id={wrong}", both)
        assert refused["status"] == 422
        assert "id" in refused["detail"]


async def test_what_is_no_trace_is_the_commands_sentence(service: Service) -> None:
    refused = await problem(service, "/v1/verdicts", b"{")
    assert refused["status"] == 422
    assert refused["detail"] == "upload is cut off: the JSON ends in the middle."
    wrong_kind = await problem(service, "/v1/verdicts", b"{}", "text/plain")
    assert wrong_kind["status"] == 415
    too_large = await problem(service, "/v1/verdicts", b" " * (2**20 + 1))
    assert too_large["status"] == 413


async def test_an_upload_is_diagnosed_in_every_format(service: Service) -> None:
    content = written(ForeignProgram().trace())
    for form, begins in (("json", b"{"), ("html", b"<!"), ("markdown", b"#")):
        status, text = await upload(service, f"/v1/diagnoses?format={form}&target=5", content)
        assert status == 200
        assert text.startswith(begins)


async def test_a_trace_has_a_target_only_where_the_query_gives_one(service: Service) -> None:
    content = written(ForeignProgram().trace())
    _, text = await upload(service, "/v1/diagnoses?format=json", content)
    target = json.loads(text)["target"]
    assert (target["limit_s"], target["standing"]) == (None, "no target")
    _, text = await upload(service, "/v1/diagnoses?format=text", content)
    assert b"no target was given" in text
    _, text = await upload(service, "/v1/diagnoses?format=json&target=60", content)
    target = json.loads(text)["target"]
    assert (target["limit_s"], target["standing"]) == (60, "inside")


async def test_two_uploads_are_compared_and_a_regression_is_an_answer(service: Service) -> None:
    program = ForeignProgram()
    good = written(program.trace(name="root"))
    spans = program.trace(name="root")
    bad = json.loads(written(spans))
    for each in bad["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        each["status"] = {"code": 2}
        if each["name"] == "root":
            each["endTimeUnixNano"] = str(int(each["endTimeUnixNano"]) + 10**9)
    for new, passed in ((good, True), (json.dumps(bad).encode(), False)):
        data = form([good], [new])
        async with service.http.post("/v1/comparisons?tolerance=50", data=data) as answer:
            assert answer.status == 200, await answer.text()
            assert (await answer.json())["passed"] is passed


@pytest.mark.parametrize(
    ("base", "new", "says"),
    [
        (1, 0, "is empty"),
        (2, 1, "A set of 2 runs against one run"),
        (33, 1, "At most 32"),
    ],
)
async def test_sides_that_cannot_be_compared(
    service: Service, base: int, new: int, says: str
) -> None:
    content = written(ForeignProgram().trace())
    data = form([content] * base, [content] * new)
    async with service.http.post("/v1/comparisons", data=data) as answer:
        assert answer.status == 422
        assert says in (await answer.json())["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data", 422),
        (b"rubbish", "multipart/form-data; boundary=x", 422),
        (b"--x\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x", 422),
        (b"--x\r\nno header\r\n\r\n", "multipart/form-data; boundary=x", 422),
        (
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y",
            "multipart/form-data; boundary=x",
            422,
        ),
        (b"{}", "application/json", 422),
        (b'{"base": ["--gate"], "new": ["x"]}', "application/json", 422),
        (b"{}", "text/plain", 415),
    ],
)
async def test_comparisons_that_are_none(
    service: Service, body: bytes, kind: str, status: int
) -> None:
    assert (await problem(service, "/v1/comparisons", body, kind))["status"] == status


async def test_a_form_that_is_too_large(service: Service) -> None:
    half = b" " * (6 * 2**17)
    async with service.http.post("/v1/comparisons", data=form([half], [half])) as answer:
        assert answer.status == 413


async def test_nothing_of_an_upload_is_left(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = await asyncio.to_thread(os.listdir, tmp_path)
    await upload(service, "/v1/verdicts", written(ForeignProgram().trace()))
    await problem(service, "/v1/verdicts", b" " * (2**20 + 1))
    assert await asyncio.to_thread(os.listdir, tmp_path) == before


async def test_without_a_jaeger_an_id_is_a_bad_gateway(service: Service) -> None:
    for part in ("verdict", "diagnosis"):
        answer = await service.get(f"/v1/traces/{UNKNOWN}/{part}", 502)
        assert "TRADING_GRAPH_JAEGER_URL" in answer["detail"]
    both = {"base": [UNKNOWN], "new": ["b" * 32]}
    await service.post("/v1/comparisons", both, 502)
    await service.get("/v1/traces/nonsense/verdict", 404)


async def test_a_run_of_the_service_is_a_trace_as_any(service: Service) -> None:
    first, second = [await service.over((await service.start())["id"]) for _ in range(2)]
    assert first["state"] == second["state"] == "done"
    verdict = await service.get(f"/v1/traces/{first['id']}/verdict")
    assert verdict == await service.get(f"/v1/runs/{first['id']}/verdict")
    diagnosis = await service.get(f"/v1/traces/{first['id']}/diagnosis")
    assert diagnosis["trace_id"] == first["trace_id"]
    both = {"base": [first["id"]], "new": [second["id"]]}
    compared = await service.post("/v1/comparisons?tolerance=1000", both, 200)
    assert compared["missing"] == []

    page = await service.get("/v1/verdicts?limit=1")
    assert [each["id"] for each in page["verdicts"]] == [second["id"]]
    rest = await service.get(f"/v1/verdicts?limit=1&before={page['next']}")
    assert [each["id"] for each in rest["verdicts"]] == [first["id"]]
    assert rest["next"] is None
    link = rest["verdicts"][0]["links"]["verdict"]
    assert (await service.get(link))["trace_id"] == first["trace_id"]
    assert (await service.get("/v1/verdicts?service=other"))["verdicts"] == []


async def test_verdicts_of_one_moment_are_all_on_some_page(service: Service) -> None:
    ids = [f"{number:032x}" for number in range(5)]
    for each in ids:
        await service.parts.store.keep_verdict(
            StoredVerdict(each, each, "s", "n", 1.0, None, None, now(), "{}")
        )
    seen, path = [], "/v1/verdicts?service=s&limit=2"
    while path:
        page = await service.get(path)
        seen += [each["id"] for each in page["verdicts"]]
        path = page["next"] and f"/v1/verdicts?service=s&limit=2&before={page['next']}"
    assert seen == ids[::-1]


@pytest.mark.jaeger
async def test_a_trace_in_jaeger_is_judged_by_its_id(tmp_path: Path, jaeger: JaegerProcess) -> None:
    spans = ForeignProgram().trace()
    await asyncio.to_thread(send, spans, jaeger.otlp_http_url)
    async with opened(tmp_path, jaeger_url=jaeger.query_url) as service:
        query = JaegerQuery(jaeger.query_url)
        await asyncio.to_thread(query.complete, id_of(spans))
        verdict = await service.get(f"/v1/traces/{id_of(spans)}/verdict")
        assert verdict["trace_id"] == id_of(spans)
        assert verdict["spans"] == 3
        diagnosis = await service.get(f"/v1/traces/{id_of(spans)}/diagnosis")
        assert diagnosis["trace_id"] == id_of(spans)
        unknown = await service.get(f"/v1/traces/{UNKNOWN}/verdict", 404)
        assert "upload it" in unknown["detail"]
        await service.post("/v1/comparisons", {"base": [id_of(spans)], "new": [UNKNOWN]}, 404)


FIELD = {
    path.name: path.read_bytes()
    for path in (Path(__file__).parents[2] / "recorded" / "field").iterdir()
}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("refused_otlp_protobuf.binpb", "application/x-protobuf"),
        ("refused_otlp_gz.json.gz", "application/gzip"),
        ("refused_langfuse_trace.json", "application/json"),
    ],
)
async def test_an_upload_may_be_of_any_format(service: Service, name: str, kind: str) -> None:
    content = FIELD[name]
    status, text = await upload(service, "/v1/verdicts", content, kind)
    assert status == 200
    assert json.loads(text)["complete"] is True


async def test_traces_of_one_run_are_joined_on_request(service: Service) -> None:
    content = FIELD["openai-v2-noroot.json"]
    refused = await problem(service, "/v1/verdicts", content)
    assert "--join" in refused["detail"]
    for path in ("/v1/verdicts?join=true", "/v1/diagnoses?join=true"):
        status, text = await upload(service, path, content)
        assert status == 200
        assert b"as one run" in text
    edge = FIELD["edge-remoteparent.json"]
    status, text = await upload(service, "/v1/verdicts?root=GET%20/quote", edge)
    assert status == 200
    assert b"Judged below 'GET /quote' alone" in text
    refused = await problem(service, "/v1/verdicts?root=nobody", edge)
    assert "has the id or the name 'nobody'" in refused["detail"]
