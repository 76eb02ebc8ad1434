"""Spans sent to a service over OTLP, and the verdicts that come of them."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from tests.patience import PATIENCE_S
from tests.service.server.open_service import Service

PROTOBUF, JSON = "application/x-protobuf", "application/json"
PACKED: Mapping[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}
START_NS = 1_763_100_000 * 10**9
NO_HEADERS: Mapping[str, str] = {}


def span(
    number: int, parent: int = 0, trace: int = 1, *, at_ms: int = 0, **more: Any
) -> dict[str, Any]:
    """A span as OTLP JSON has it: a second long, starting so much later than the first."""
    attributes = [
        {"key": key, "value": {"intValue": str(value)}}
        for key, value in more.pop("attributes", {}).items()
    ]
    return {
        "traceId": f"{trace:032x}",
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": f"span {number}",
        "startTimeUnixNano": str(START_NS + at_ms * 10**6),
        "endTimeUnixNano": str(START_NS + at_ms * 10**6 + 10**9),
        "attributes": attributes,
        **more,
    }


def root(number: int = 1, declared: int | None = None, **more: Any) -> dict[str, Any]:
    """The root of a trace, which may declare how many spans it has."""
    declares = {} if declared is None else {"witness.spans_started": declared}
    return span(number, attributes=declares, **more)


def message(*spans: Mapping[str, Any], service: str = "sender") -> dict[str, Any]:
    """A message of spans of one service."""
    attributes = [{"key": "service.name", "value": {"stringValue": service}}]
    return {
        "resourceSpans": [
            {"resource": {"attributes": attributes}, "scopeSpans": [{"spans": list(spans)}]}
        ]
    }


async def post(
    service: Service,
    body: bytes,
    content_type: str = PROTOBUF,
    encoding: str = "identity",
    headers: Mapping[str, str] = NO_HEADERS,
) -> tuple[int, bytes, Mapping[str, str]]:
    """Send a body; gives status, body and headers of the answer."""
    sent = {"Content-Type": content_type, **headers}
    if encoding != "identity":
        sent["Content-Encoding"] = encoding
    async with service.http.post("/v1/traces", data=BytesIO(body), headers=sent) as answer:
        return answer.status, await answer.read(), answer.headers


async def export(service: Service, *spans: Mapping[str, Any]) -> dict[str, Any]:
    """Send spans as OTLP JSON; gives the answer, which has to be 200."""
    status, body, _ = await post(service, json.dumps(message(*spans)).encode(), JSON)
    assert status == 200, body
    return dict(json.loads(body))


def protobuf(spans: Sequence[ReadableSpan]) -> bytes:
    """Spans of the SDK as its exporter sends them."""
    content: bytes = encode_spans(spans).SerializeToString()
    return content


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that the service does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if holds():
                return
            await asyncio.sleep(0.02)


async def verdict(service: Service, trace_id: str, after: str = "") -> dict[str, Any]:
    """The summary of the verdict on a trace, once there is one that was made after another."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            listed = (await service.get("/v1/verdicts?limit=200"))["verdicts"]
            for each in listed:
                if each["id"] == trace_id and each["judged"] > after:
                    return dict(each)
            await asyncio.sleep(0.02)


async def document(service: Service, trace_id: str) -> Any:
    """The verdict on a trace that was received; nothing is asked of Jaeger for it."""
    await verdict(service, trace_id)
    return await service.get(f"/v1/traces/{trace_id}/verdict")


async def files(folder: Path, which: str = "*") -> dict[str, list[dict[str, Any]]]:
    """The spans in the files of received traces, by trace id; `which` is growing or judged."""
    return await asyncio.to_thread(_files, folder, which)


def _files(folder: Path, which: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for path in folder.glob(f"runs/received/{which}/*.jsonl"):
        for line in path.read_bytes().splitlines():
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    found.setdefault(path.stem, []).extend(scope["spans"])
    return found


async def lines_of(folder: Path, trace_id: str) -> list[str]:
    """The lines of a trace's file; it moves right after its verdict is stored."""

    def read() -> list[str]:
        (path,) = folder.glob(f"runs/received/*/{trace_id}.jsonl")
        return path.read_text().split("\n")

    return await asyncio.to_thread(read)
