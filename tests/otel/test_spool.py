"""The spool: whole batches, a bound, several processes; spans are read back unchanged."""

import json
import multiprocessing
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from trading_graph.otel.errors import TraceError
from trading_graph.otel.export.spool import Spool
from trading_graph.otel.files.sdk_spans import from_lines
from trading_graph.otel.files.span_lines import to_line


def spans(*names: str) -> Sequence[ReadableSpan]:
    """Make spans with everything that a span can have."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test", "1", "https://example.org/schema", {"scope": "s"})
    remote = SpanContext(5, 7, is_remote=True, trace_flags=TraceFlags(1))
    for name in names:
        with (
            tracer.start_as_current_span("parent"),
            tracer.start_as_current_span(
                name,
                kind=SpanKind.CLIENT,
                links=[Link(remote, {"why": "because"})],
                attributes={
                    "s": "ü\n",
                    "i": 2**53 + 1,
                    "f": 0.5,
                    "b": True,
                    "ss": ["a", "b"],
                    "is": [1, 2],
                },
            ) as span,
        ):
            span.add_event("retry", {"attempt": 1})
            span.set_status(Status(StatusCode.ERROR, "why"))
    return exporter.get_finished_spans()


def names(spool: Spool) -> list[str]:
    return [
        span.name for batch in spool.batches() for span in batch.read() if span.name != "parent"
    ]


def test_what_is_read_back_is_what_was_written() -> None:
    originals = spans("a", "b")
    assert json.loads(to_line(originals)) == json.loads(encode_spans(originals).to_json())
    copies = from_lines(to_line(originals), "memory")
    assert encode_spans(copies).to_json() == encode_spans(originals).to_json()


def test_a_line_that_was_cut_off_is_left_out_only_at_the_end() -> None:
    line = to_line(spans("a"))
    assert len(from_lines(line + line[:-40], "memory")) == 2
    with pytest.raises(TraceError, match="memory, line 1, is not a line of spans"):
        from_lines(line[:-40] + b"\n" + line, "memory")


def test_batches_come_in_the_order_in_which_they_were_put(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.batches() == []
    for name in ("a", "b", "c"):
        spool.put(spans(name))
    assert names(spool) == ["a", "b", "c"]
    assert spool.spans == 6
    assert spool.batches()[0].remove()
    assert names(Spool(tmp_path / "spool")) == ["b", "c"]


def test_past_the_bound_the_oldest_goes_and_is_counted(tmp_path: Path) -> None:
    size = len(to_line(spans("a")))
    spool = Spool(tmp_path, max_bytes=int(2.5 * size))
    for name in ("a", "b", "c", "d"):
        spool.put(spans(name))
    assert names(spool) == ["c", "d"]
    assert spool.evictions == 4, "spans, with their parents"
    spool.reset_evictions()
    assert spool.evictions == 0


def test_a_partial_file_is_no_batch(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(spans("a"))
    (tmp_path / ".0123.2.jsonl.partial").write_text("{")
    assert names(spool) == ["a"]


def test_a_folder_that_cannot_be_written_leaves_nothing_half(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        Spool(tmp_path / "file").put(spans("a"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _put_many(folder: Path) -> None:
    spool = Spool(folder)
    for number in range(20):
        spool.put(spans(f"{os.getpid()} {number}"))


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put_many, args=(tmp_path,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(set(names(Spool(tmp_path)))) == 40


def test_one_sender_at_a_time(tmp_path: Path) -> None:
    with Spool(tmp_path).lock() as first, Spool(tmp_path).lock() as second:
        assert (first, second) == (True, False)
    with Spool(tmp_path).lock() as again:
        assert again
