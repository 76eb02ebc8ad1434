"""A program's run, recorded: the service, the trace as OTLP JSON, and the truth beside it."""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fake_openai import CALL_S, FakeOpenAI
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from workload import VARIANTS, Variant, Workload, at_once

KEY = "none"
REHEARSAL = 0.05
"""How long waits are in the first of two runs, which is not recorded: what it imports and connects
for the first time would hold the event loop of the second, whose truth would be another.
"""


@dataclass(frozen=True)
class Job:
    """What a program is to do, and where."""

    variant: Variant
    instrumentor: str
    base_url: str
    workload: Workload
    provider: TracerProvider
    elsewhere: list[dict[str, Any]] = field(default_factory=list)
    """What other processes of the program recorded, in resource spans of OTLP JSON."""

    @property
    def tracer(self) -> trace.Tracer:
        """For spans that people open by hand around a run."""
        return self.provider.get_tracer("weather-app")


def record(
    run: Callable[[Job], Awaitable[object]],
    instrument: Callable[[Job], object] = lambda job: None,
    instrumentors: Sequence[str] = ("own",),
) -> None:
    """Run a program as the command line says: VARIANT OUT [INSTRUMENTOR].

    OUT gets the trace, and `truth.json` in its folder what really happened.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("out", type=Path)
    parser.add_argument("instrumentor", nargs="?", default=instrumentors[0], choices=instrumentors)
    words = parser.parse_args()
    service = FakeOpenAI()
    os.environ |= {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": service.base_url}
    provider, exporter = provider_for("weather")
    variant = VARIANTS[words.variant]

    def job(scale: float = 1.0) -> Job:
        workload = Workload(variant, scale)
        return Job(variant, words.instrumentor, service.base_url, workload, provider)

    recorded = job()
    instrument(recorded)

    async def run_it() -> float:
        service.call_s = CALL_S * REHEARSAL
        await run(job(REHEARSAL))
        exporter.clear()
        service.calls.clear()
        service.call_s = CALL_S
        begin = time.monotonic()
        await run(recorded)
        return time.monotonic() - begin

    wall_s = asyncio.run(run_it())
    provider.force_flush()
    spans = resource_spans(list(exporter.get_finished_spans()))
    words.out.write_text(json.dumps({"resourceSpans": [*spans, *recorded.elsewhere]}))
    save_truth(words.out.parent, recorded.workload, service.calls, wall_s)
    # Some frameworks leave threads behind that would wait for a server of theirs.
    os._exit(0)


def provider_for(service: str) -> tuple[TracerProvider, InMemorySpanExporter]:
    """Make the provider of a process, and what keeps its spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider, exporter


def save_truth(
    folder: Path, workload: Workload, calls: list[tuple[float, float]], wall_s: float
) -> None:
    """Write what really happened: when the tools and the model worked, and how many at once."""
    first = min((begin for begin, _ in [*workload.work, *calls]), default=0.0)
    truth = {
        "variant": workload.variant.name,
        "kind": workload.variant.kind,
        "wall_s": round(wall_s, 3),
        "gain_s": workload.variant.gain_s,
        "tools_at_once": at_once(workload.work),
        "tools_expected": workload.variant.tools,
        "calls_at_once": at_once(calls),
        "calls_expected": workload.variant.calls if calls else 0,
        "tools": [[round(t - first, 3) for t in each] for each in sorted(workload.work)],
        "calls": [[round(t - first, 3) for t in each] for each in sorted(calls)],
    }
    (folder / "truth.json").write_text(json.dumps(truth))


def resource_spans(spans: list[ReadableSpan]) -> list[dict[str, Any]]:
    """Encode spans as resource spans of OTLP JSON."""
    resources: dict[int, dict[str, Any]] = {}
    for span in spans:
        resource = resources.setdefault(
            id(span.resource),
            {"resource": {"attributes": attributes(span.resource.attributes)}, "scopes": {}},
        )
        scope = span.instrumentation_scope
        name = (scope.name, scope.version or "") if scope else ("", "")
        resource["scopes"].setdefault(name, []).append(encode(span))
    return [
        {
            "resource": each["resource"],
            "scopeSpans": [
                {"scope": {"name": name, "version": version}, "spans": spans}
                for (name, version), spans in each["scopes"].items()
            ],
        }
        for each in resources.values()
    ]


def encode(span: ReadableSpan) -> dict[str, Any]:
    """Encode a span; the SDK's own encoder is not in every version that frameworks pin."""
    context = span.get_span_context()
    encoded: dict[str, Any] = {
        "traceId": f"{context.trace_id:032x}",
        "spanId": f"{context.span_id:016x}",
        "name": span.name,
        "kind": span.kind.value + 1,
        "startTimeUnixNano": str(span.start_time),
        "endTimeUnixNano": str(span.end_time),
        "attributes": attributes(span.attributes or {}),
        "status": {"code": span.status.status_code.value},
    }
    if span.parent is not None:
        encoded["parentSpanId"] = f"{span.parent.span_id:016x}"
    if span.events:
        encoded["events"] = [
            {
                "timeUnixNano": str(event.timestamp),
                "name": event.name,
                "attributes": attributes(event.attributes or {}),
            }
            for event in span.events
        ]
    if span.links:
        encoded["links"] = [
            {
                "traceId": f"{link.context.trace_id:032x}",
                "spanId": f"{link.context.span_id:016x}",
                "attributes": attributes(link.attributes or {}),
            }
            for link in span.links
        ]
    return encoded


def attributes(values: Any) -> list[dict[str, Any]]:
    """Encode attributes."""
    return [{"key": key, "value": value_of(value)} for key, value in values.items()]


def value_of(value: Any) -> dict[str, Any]:
    """Encode an attribute's value."""
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": value}
        case None:
            return {}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
        case _:
            return {"arrayValue": {"values": [value_of(each) for each in value]}}
