"""The process that reads and judges received traces, one after the other.

Batches come as one line of JSON each; the answer is a frame, eight bytes of length and then
MessagePack. The limits on memory and time are those of a process that judges an upload.
"""

import gc
import os
import resource
import struct
import sys
from pathlib import Path

import msgspec

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.errors import TraceError
from trading_graph.otel.gc_pause import pause_collection
from trading_graph.otel.report import as_json
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.report.documents.verdict import unjudged_document
from trading_graph.otel.sources import parse
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import judge
from trading_graph.service.watching import is_derived, settled_trace

FRAME = struct.Struct(">Q")
_SERVICE = "service.name"
_LONGEST_NAME = 200


class Task(msgspec.Struct, frozen=True):
    """A trace to judge, and its file, of which `size` bytes are read."""

    trace_id: str
    path: str
    size: int


class Batch(msgspec.Struct, frozen=True):
    """Traces to judge one after the other, and the seconds of CPU time for each."""

    tasks: list[Task]
    seconds: int


class Judged(msgspec.Struct, frozen=True):
    """A verdict, and what lists say of its trace.

    `derived`: it is a prediction or belongs to another trace, so that it has no verdict of its own.
    """

    document: str
    passed: bool | None
    service: str
    name: str
    started: float
    seconds: float | None
    derived: bool = False


def main() -> None:
    """Judge what comes on standard input, to its end."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # a stray print is no frame
    batches = msgspec.json.Decoder(Batch)
    gc.freeze()  # What was imported stays: no collection need walk it.
    for line in sys.stdin.buffer:
        batch = batches.decode(line)
        content = msgspec.msgpack.encode([_judged(task, batch.seconds) for task in batch.tasks])
        answers.write(FRAME.pack(len(content)) + content)


def _limit_time(seconds: int) -> None:
    """Allow so much more CPU time than was used so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, most))


@pause_collection()
def _judged(task: Task, seconds: int) -> Judged:
    _limit_time(seconds)
    with Path(task.path).open("rb") as file:
        content = file.read(task.size)
    try:
        (trace,) = parse(content, "the received trace")
        verdict = judge(trace, default_gate(trace))
        document = as_json(verdict)
    except TraceError as error:
        document = encode(unjudged_document(task.trace_id, 0, str(error)))
        return Judged(document, None, "", "trace", 0.0, None)
    settled = settled_trace(trace, verdict.run)
    return Judged(
        document=document,
        passed=verdict.passed if verdict.judged else None,
        service=_service(trace),
        name=settled.name or "trace",
        started=settled.started,
        seconds=settled.seconds,
        derived=is_derived(trace),
    )


def _service(trace: SpanTable) -> str:
    """The service of the root, or of the first span."""
    row = next(iter((*trace.roots, 0)))
    name = str(trace.resources[row].get(_SERVICE) or "")
    return "".join(each if each.isprintable() else " " for each in name)[:_LONGEST_NAME]


if __name__ == "__main__":
    main()
