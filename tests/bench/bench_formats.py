"""How fast a trace file of another format is read, beside the same trace as OTLP JSON.

    PYTHONPATH=. python tests/bench/bench_formats.py [SPANS]

Times are CPU seconds, the best of several. Bars of the design: protobuf takes no longer than the
same trace as JSON, and `diagnose` on 50,000 spans of Jaeger's JSON at most five times what msgspec
takes to decode that text.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from tests.bench.bench_verdict import write
from trading_graph.otel.sources import read

_IDS = ("traceId", "spanId", "parentSpanId")
_AGAIN = 5


def main() -> None:
    """Print a line for each format."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spans", type=int, nargs="?", default=50_000)
    count = parser.parse_args().spans
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "run.jsonl"
        write(lines, "run", count)
        spans = list(_spans(lines))
        files = {
            "OTLP JSON lines": lines,
            "OTLP JSON, one document": _written(folder, "run.json", _document(spans)),
            "OTLP protobuf": _written(folder, "run.binpb", _protobuf(spans)),
            "Jaeger's JSON": _written(folder, "jaeger.json", _jaeger(spans)),
        }
        for name, path in files.items():
            seconds = _best(partial(read, path))
            size = path.stat().st_size / 1e6
            print(f"{name:24} {size:6.1f} MB  read in {seconds:.3f} s of CPU")
        text = files["Jaeger's JSON"].read_bytes()
        alone = _best(lambda: msgspec.json.decode(text))
        whole = min(_command(files["Jaeger's JSON"]) for _ in range(3))
        print(
            f"diagnose of Jaeger's JSON: {whole:.3f} s of CPU for the command, msgspec alone "
            f"{alone:.3f} s: {whole / alone:.1f} times"
        )


def _spans(lines: Path) -> Iterator[dict[str, Any]]:
    for line in lines.read_bytes().splitlines():
        for part in json.loads(line)["resourceSpans"]:
            for scope in part["scopeSpans"]:
                yield from scope["spans"]


def _written(folder: str, name: str, content: bytes) -> Path:
    path = Path(folder) / name
    path.write_bytes(content)
    return path


def _document(spans: list[dict[str, Any]]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()


def _protobuf(spans: list[dict[str, Any]]) -> bytes:
    def with_bytes(row: dict[str, Any]) -> dict[str, Any]:
        # protobuf's own JSON has base64 where OTLP's has hexadecimal.
        ids = {key: _base64(row[key]) for key in _IDS if key in row}
        links = [with_bytes(link) for link in row.get("links", ())]
        return {**row, **ids, **({"links": links} if links else {})}

    document = {"resourceSpans": [{"scopeSpans": [{"spans": [with_bytes(s) for s in spans]}]}]}
    message: bytes = ParseDict(document, TracesData()).SerializeToString()
    return message


def _base64(id: str) -> str:
    return msgspec.json.decode(msgspec.json.encode(bytes.fromhex(id)), type=str)


def _jaeger(spans: list[dict[str, Any]]) -> bytes:
    trace_id = spans[0]["traceId"]
    rows = [
        {
            "traceID": trace_id,
            "spanID": span["spanId"],
            "operationName": span["name"],
            "references": [
                {"refType": "CHILD_OF", "traceID": trace_id, "spanID": span["parentSpanId"]}
            ]
            if "parentSpanId" in span
            else [],
            "startTime": int(span["startTimeUnixNano"]) // 1000,
            "duration": (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) // 1000,
            "tags": [
                {"key": each["key"], "type": "string", "value": _value(each["value"])}
                for each in span["attributes"]
            ],
            "logs": [],
            "processID": "p1",
            "warnings": None,
        }
        for span in spans
    ]
    process = {"serviceName": "bench", "tags": []}
    trace = {"traceID": trace_id, "spans": rows, "processes": {"p1": process}}
    return json.dumps({"data": [trace]}).encode()


def _value(value: dict[str, Any]) -> Any:
    return int(value["intValue"]) if "intValue" in value else next(iter(value.values()))


def _best(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(_AGAIN):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def _command(path: Path) -> float:
    before = os.times()
    program = "from trading_graph.service.cli import main; main()"
    command = [sys.executable, "-c", program, "diagnose", str(path)]
    subprocess.run(command, capture_output=True, check=True)
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


if __name__ == "__main__":
    main()
