"""Files that engineers keep, rebuilt by hand: those that were refused are read, or named.

The files are in tests/recorded/field. The four that are not called `refused_` were recorded by
programs whose one run is in several traces, or whose caller was recorded elsewhere.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trading_graph.otel.sources import read
from trading_graph.service.cli import main

FIELD = Path(__file__).parents[2] / "recorded" / "field"
REFUSED = sorted(path.name for path in FIELD.glob("refused_*"))

ASKS_TWICE = {
    "refused_chrome_trace.json",
    "refused_datadog.json",
    "refused_jaeger_dataobj.json",
    "refused_langsmith_runs.json",
    "refused_langsmith_runs.jsonl",
    "refused_mlflow.json",
    "refused_otlp_gz.json.gz",
    "refused_otlp_protobuf.binpb",
    "refused_py_console.jsonl",
    "refused_tempo_v1_batches.json",
    "refused_zipkin.json",
}
"""Those that hold one program: 5 s, with a call of 1.9 s after 0.1 s, and one of 2.8 s."""


def trading_graph(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.mark.parametrize("name", sorted(ASKS_TWICE))
def test_the_program_that_asks_twice_is_read_alike(name: str) -> None:
    (trace,) = read(FIELD / name)
    assert trace.names == ("ask", "chat a", "chat b")
    assert [round(each / 1e6) for each in (trace.start - trace.start[0]).tolist()] == [0, 100, 2100]
    assert [round(each / 1e6) for each in trace.duration.tolist()] == [5000, 1900, 2800]
    assert trace.parent.tolist() == [-1, 0, 0]


@pytest.mark.parametrize("name", REFUSED)
def test_each_is_judged(name: str) -> None:
    verified = trading_graph("verify", str(FIELD / name), "--format", "json")
    # In these nothing is of a known kind, and nothing could run at once; they are read, too.
    alone = name in ("refused_go_spanstub.json", "refused_xray_segment.json")
    assert verified.exit_code == (3 if alone else 0)
    document = json.loads(verified.stdout)
    assert document["complete"]
    assert trading_graph("diagnose", str(FIELD / name)).exit_code == 0


def test_a_span_whose_caller_is_elsewhere_is_judged_unasked_with_a_note() -> None:
    for name in ("edge-remoteparent.json", "refused_local_root_with_remote_parent.json"):
        verified = trading_graph("verify", str(FIELD / name), "--format", "json")
        assert verified.exit_code == 0
        (note,) = json.loads(verified.stdout)["notes"]
        assert "is not in this trace" in note


@pytest.mark.parametrize("name", ["dspy-oi-par", "langgraph-ol-par", "openai-v2-noroot"])
def test_several_traces_are_one_run_on_request(name: str) -> None:
    path = str(FIELD / f"{name}.json")
    refused = trading_graph("verify", path)
    assert refused.exit_code == 3
    assert "as one run with --join" in refused.stderr
    joined = trading_graph("verify", path, "--join", "--format", "json")
    assert joined.exit_code == 0
    verdict = json.loads(joined.stdout)
    assert "nothing is proven across them" in verdict["notes"][0]
    judged = [check for check in verdict["checks"] if check["id"] in ("turns", "fan_outs")]
    passed = [check["strength"] for check in judged if check["outcome"] == "pass"]
    assert len(passed) == 1
    assert passed[0].startswith("overlapping, not proven")
    assert trading_graph("diagnose", path, "--join").exit_code == 0
    each = trading_graph("verify", path, "--each")
    count = len(read(Path(path)))
    assert len(each.stdout.splitlines()) == count + 1
    assert each.stdout.splitlines()[-1].startswith(f"{count} judged: ")
