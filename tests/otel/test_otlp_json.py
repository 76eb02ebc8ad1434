"""The writer of OTLP JSON: nested attributes survive, and the base install is enough for it."""

import json
import subprocess
import sys
from collections.abc import Sequence

from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.types import AnyValue

from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import LineEncoder, to_line
from trading_graph.otel.sources.in_memory import from_spans

NESTED: dict[str, AnyValue] = {
    "map": {"a": 1, "inner": {"b": [True, None]}},
    "list": [{"c": "d"}, 1.5],
    "nothing": None,
    "bytes": b"\x00\xff",
}


def nested_spans() -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("test").start_span("nested", attributes=NESTED).end()
    return exporter.get_finished_spans()


def test_nested_attributes_are_written_as_the_sdk_writes_them() -> None:
    spans = nested_spans()
    assert json.loads(to_line(spans)) == json.loads(encode_spans(spans).to_json())


def test_nested_attributes_are_read_back() -> None:
    spans = nested_spans()
    (copy,) = from_lines(to_line(spans), "memory")
    assert encode_spans([copy]).to_json() == encode_spans(spans).to_json()
    (trace,) = from_spans(spans)
    assert trace.attributes(0)["map"] == NESTED["map"]
    assert trace.attributes(0)["list"] == NESTED["list"]
    assert trace.attributes(0)["nothing"] is None


def test_one_at_a_time_the_lines_are_the_same() -> None:
    """Also for a resource or a scope that looks like what stands around spans."""
    encoder = LineEncoder()
    for tricky in ('"spans":[]', '{"spans":[]}', ""):
        resource = Resource({"service.name": tricky})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for scope in (tricky or "plain", "other"):
            for number in range(2):
                span = provider.get_tracer(scope, "1", attributes={"of": tricky}).start_span(tricky)
                span.set_attributes({"number": number, "text": tricky})
                span.end()
                assert isinstance(span, ReadableSpan)
                assert encoder.line(span) == to_line([span])
    foreign = ReadableSpan("without a scope", resource=Resource({}))
    assert encoder.line(foreign) == to_line([foreign])


def test_the_base_install_reads_and_writes_spans() -> None:
    """A judge of spans in memory, and the export of a prediction, need no exporter."""
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith(('opentelemetry.instrumentation', 'opentelemetry.exporter')):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import trading_graph.otel.report.simulated_otlp\n"
        "import trading_graph.otel.sources.in_memory\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
