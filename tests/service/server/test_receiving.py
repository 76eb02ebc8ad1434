"""What programs send over OTLP is recorded, put together by trace, judged and kept."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.patience import PATIENCE_S
from tests.service.foreign_program import ForeignProgram, id_of, written
from tests.service.server.open_service import Service, opened
from tests.service.server.otlp_client import (
    JSON,
    PACKED,
    PROTOBUF,
    document,
    export,
    files,
    lines_of,
    message,
    post,
    protobuf,
    root,
    span,
    verdict,
)
from tests.service.server.raw_http import GUARDED, TOKEN
from trading_graph.otel.sources import parse

ONE = f"{1:032x}"
PROGRAM = """\
import time
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("foreign")
with tracer.start_as_current_span("answer a question") as root:
    for number in range(3):
        with tracer.start_as_current_span(f"look up {number}"):
            time.sleep(0.01)
provider.shutdown()
print(f"{root.get_span_context().trace_id:032x}")
"""


def run_program(url: str, **env: str) -> str:
    """A program with the SDK of OpenTelemetry and environment variables; gives its trace id."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_SERVICE_NAME": "foreign",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**kept, **variables, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.strip()


async def test_a_program_with_environment_variables_alone_has_a_verdict(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        trace_id = await asyncio.to_thread(run_program, service.url)
        kept = await verdict(service, trace_id)
        assert (kept["service"], kept["name"]) == ("foreign", "answer a question")
        assert kept["seconds"] >= 0.03
        judged = await service.get(kept["links"]["verdict"])
        assert (judged["complete"], judged["spans"]) == (True, 4)
        diagnosis = await service.get(kept["links"]["diagnosis"])
        assert diagnosis["trace_id"] == trace_id, "it is made of the file that was received"
        async with service.http.get(f"/traces/{trace_id}") as answer:
            page = await answer.text()
        assert "answer a question" in page
        assert f'href="/v1/traces/{trace_id}/otlp"' in page


async def test_the_spans_of_a_received_trace_are_served_as_they_came(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=3_600) as service:
        await export(service, root(name="ask"), span(2, 1))
        path = f"/v1/traces/{ONE}/otlp"
        async with service.http.get(path) as answer:
            growing, kind = await answer.read(), answer.content_type
        assert kind == "application/x-ndjson"
        (trace,) = parse(growing, "the answer")
        assert (trace.trace_id, trace.names) == (ONE, ("ask", "span 2"))
        await export(service, span(3, 1), root(4, declared=4))
        await verdict(service, ONE)
        async with service.http.get(path) as answer:
            (trace,) = parse(await answer.read(), "the answer")
        assert len(trace) == 4, "judged or not, it is where its address says"
        absent = await service.get(f"/v1/traces/{'2' * 32}/otlp", 404)
        assert "no file of the trace" in absent["detail"]


@pytest.mark.full
async def test_every_encoding_leaves_the_same_spans(tmp_path: Path) -> None:
    program = ForeignProgram()
    async with opened(tmp_path, begun=False) as service:
        for content_type, encoding in itertools.product((PROTOBUF, JSON), PACKED):
            spans = program.trace(attributes={"answer": "42", "of": "ü \u2028"})
            trace_id = id_of(spans)
            body = protobuf(spans) if content_type == PROTOBUF else written(spans)
            packed = PACKED[encoding](body)
            status, answer, headers = await post(service, packed, content_type, encoding)
            assert (status, headers["Content-Type"].partition(";")[0]) == (200, content_type)
            assert answer == (b"" if content_type == PROTOBUF else b"{}")
            sent = [f"{each.context.span_id:016x}" for each in spans]
            kept = (await files(tmp_path))[trace_id]
            assert [each["spanId"] for each in kept] == sent, "it is there with the answer"
            assert (await document(service, trace_id))["complete"]
            (trace,) = parse("\n".join(await lines_of(tmp_path, trace_id)).encode(), "the file")
            (expected,) = parse(written(spans), "what was sent")
            assert trace.names == expected.names
            assert trace.intervals == expected.intervals
            assert trace.resources == expected.resources
            for row in range(3):
                assert trace.attributes(row) == expected.attributes(row)


async def test_a_trace_is_judged_at_once_when_its_declared_spans_are_there(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=3_600) as service:
        await export(service, span(2, 1), root(declared=3))
        await export(service, root(trace=2))
        await export(service, root(trace=3, declared=1))
        await verdict(service, f"{3:032x}")
        await _until_growing(tmp_path, {ONE, f"{2:032x}"})
        await export(service, span(3, 1))
        assert (await document(service, ONE))["spans"] == 3
        await _until_growing(tmp_path, {f"{2:032x}"})


async def _until_growing(folder: Path, expected: set[str]) -> None:
    """A file is moved right after its verdict is stored."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if set(await files(folder, "growing")) == expected:
                return
            await asyncio.sleep(0.02)


@pytest.mark.full
async def test_spans_come_before_their_root_and_in_any_order(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=0.1) as service:
        for number in (4, 3, 2):
            await export(service, span(number, number - 1))
        await asyncio.sleep(0.5)
        assert (await service.get("/v1/verdicts"))["verdicts"] == [], "its root is missing"
        await export(service, root())
        judged = await document(service, ONE)
        assert (judged["complete"], judged["spans"]) == (True, 4)


async def test_late_spans_change_the_verdict(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=0.1) as service:
        await export(service, root(), span(2, 1))
        first = await verdict(service, ONE)
        assert (await document(service, ONE))["spans"] == 2
        await export(service, span(3, 2))
        await verdict(service, ONE, first["judged"])
        assert (await document(service, ONE))["spans"] == 3
        assert len((await files(tmp_path))[ONE]) == 3
        assert len((await service.get("/v1/verdicts"))["verdicts"]) == 1


@pytest.mark.full
async def test_what_is_sent_twice_counts_once(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=0.1) as service:
        body = json.dumps(message(root(), span(2, 1))).encode()
        for _ in range(3):
            assert (await post(service, body, JSON))[0] == 200
        await verdict(service, ONE)
        assert (await post(service, body, JSON))[0] == 200
        await export(service, span(2, 1), span(3, 1))
        async with asyncio.timeout(PATIENCE_S):
            while True:
                judged = await document(service, ONE)
                if judged["spans"] == 3:
                    break
                await asyncio.sleep(0.02)
        assert judged["complete"]
        assert len((await files(tmp_path))[ONE]) == 4, (
            "a message that comes again is not written again"
        )


@pytest.mark.full
async def test_a_clock_that_was_set_back_has_no_verdict_and_harms_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_settle_s=0.1) as service:
        back = "1763000000000000000"
        await export(service, root(endTimeUnixNano=back), span(2, 1, endTimeUnixNano=back))
        await export(service, root(trace=2), span(2, 1, 2, at_ms=-10_000_000))
        judged = await document(service, ONE)
        assert (judged["complete"], judged["passed"]) == (False, None)
        assert "clock" in " ".join(judged["missing"])
        assert (await document(service, f"{2:032x}"))["spans"] == 2


async def test_a_message_of_several_traces_is_split(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        spans = [root(number, declared=1, trace=number) for number in range(1, 21)]
        await export(service, *spans)
        for number in range(1, 21):
            await verdict(service, f"{number:032x}")
        kept = await files(tmp_path)
        assert {key: len(value) for key, value in kept.items()} == dict.fromkeys(kept, 1)
        assert len(kept) == 20


async def test_secrets_are_in_no_file(tmp_path: Path) -> None:
    secret = "sk-0123456789abcdefghij"
    async with opened(tmp_path, begun=False) as service:
        with_secrets = root(
            declared=1,
            name=f"ask {secret}",
            status={"code": 2, "message": f"refused {secret}"},
            events=[{"name": secret, "attributes": [_text("a", secret)]}],
            links=[{"traceId": ONE, "spanId": f"{9:016x}", "attributes": [_text("a", secret)]}],
        )
        with_secrets["attributes"] += [
            _text("text", f"a {secret} b"),
            _text("my.api_key", "anything-at-all"),
            {"key": "list", "value": {"arrayValue": {"values": [{"stringValue": secret}]}}},
            {"key": "map", "value": {"kvlistValue": {"values": [_text("password", "whatever")]}}},
        ]
        sent = message(with_secrets)
        sent["resourceSpans"][0]["resource"]["attributes"].append(_text("key", secret))
        assert (await post(service, json.dumps(sent).encode(), JSON))[0] == 200
        await verdict(service, ONE)
    content = json.dumps(await lines_of(tmp_path, ONE))
    for each in (secret, "anything-at-all", "whatever"):
        assert each not in content
    assert content.count("[redacted]") == 10


def _text(key: str, value: str) -> dict[str, object]:
    return {"key": key, "value": {"stringValue": value}}


@pytest.mark.full
async def test_off_loopback_the_token_is_asked_for(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, **GUARDED) as service:
        body = json.dumps(message(root(declared=1))).encode()
        assert (await post(service, body, JSON))[0] == 401
        assert not await files(tmp_path)
        env = {"OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{TOKEN}"}
        trace_id = await asyncio.to_thread(run_program, service.url, **env)
        assert set(await files(tmp_path)) == {trace_id}


async def test_spans_without_ids_are_rejected_and_the_others_kept(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        spans = [
            root(declared=1),
            root(traceId="0" * 32),
            root(traceId="../../../../etc/passwd"),
            root(spanId="0" * 16),
            root(parentSpanId="1234"),
            root(startTimeUnixNano="0"),
        ]
        partial = (await export(service, *spans))["partialSuccess"]
        assert partial["rejectedSpans"] == "5"
        assert "2 because their trace id" in partial["errorMessage"]
        assert [len(each) for each in (await files(tmp_path)).values()] == [1]
        sent = ForeignProgram().trace()
        bad = protobuf(sent).replace(sent[0].context.trace_id.to_bytes(16, "big"), bytes(16))
        status, body, _ = await post(service, bad)
        answer = ExportTraceServiceResponse.FromString(body)
        assert (status, answer.partial_success.rejected_spans) == (200, 3)
        assert "trace id" in answer.partial_success.error_message


async def test_an_empty_message_is_no_error(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False) as service:
        assert (await post(service, b""))[:2] == (200, b"")
        assert (await post(service, b"{}", JSON))[:2] == (200, b"{}")
        snake = json.dumps(message(root(declared=1))).replace("resourceSpans", "resource_spans")
        snake = snake.replace("scopeSpans", "scope_spans")
        assert (await post(service, snake.encode(), JSON))[:2] == (200, b"{}")
        assert len(await files(tmp_path)) == 1, "no spelling is dropped without a word"


async def test_old_traces_go_with_their_verdicts_when_there_are_too_many(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_received_traces=2) as service:
        for number in range(1, 5):
            await export(service, root(declared=1, trace=number))
            await verdict(service, f"{number:032x}")
        await _until_listed(service, {3, 4})
        assert set(await files(tmp_path)) == {f"{3:032x}", f"{4:032x}"}
    async with opened(tmp_path, begun=False, serve_received_traces=1) as service:
        await _until_listed(service, {4})
        assert set(await files(tmp_path)) == {f"{4:032x}"}
    async with opened(tmp_path, begun=False, serve_keep_days=1e-9) as service:
        await _until_listed(service, set())
        assert not await files(tmp_path)


async def _until_listed(service: Service, numbers: set[int]) -> None:
    expected = {f"{number:032x}" for number in numbers}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            listed = (await service.get("/v1/verdicts"))["verdicts"]
            if {each["id"] for each in listed} == expected:
                return
            await asyncio.sleep(0.02)


@pytest.mark.full
async def test_a_trace_past_its_largest_size_loses_nothing_silently(tmp_path: Path) -> None:
    async with opened(tmp_path, begun=False, serve_upload_mib=1, serve_settle_s=0.2) as service:
        large = span(2, 1, name="x" * 700_000)
        assert await export(service, root(declared=2)) == {}
        assert await export(service, large) == {}
        answer = await export(service, {**large, "spanId": f"{3:016x}"})
        assert answer["partialSuccess"]["rejectedSpans"] == "1"
        assert "largest size" in answer["partialSuccess"]["errorMessage"]
        assert (await document(service, ONE))["spans"] == 2


@pytest.mark.full
async def test_runs_of_this_service_keep_their_own_verdicts(tmp_path: Path) -> None:
    async with opened(tmp_path) as service:
        own = await service.over((await service.start())["id"])
        await service.parts.store.change(own["id"], trace_id=ONE)
        await export(service, root(declared=1))
        await export(service, root(declared=1, trace=2))
        await verdict(service, f"{2:032x}")
        listed = (await service.get("/v1/verdicts"))["verdicts"]
        assert {each["id"] for each in listed} == {own["id"], f"{2:032x}"}
