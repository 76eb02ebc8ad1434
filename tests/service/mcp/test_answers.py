"""What answers hold: they stay short whatever a trace holds, and a file is read once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from tests.bench.slow_run import slow_run
from tests.library.traces import trace_file, trace_json
from trading_graph.otel.errors import TraceError
from trading_graph.otel.report.documents.diagnosis import diagnosis_document
from trading_graph.otel.trace import semconv
from trading_graph.service.mcp.answers import TraceName, diagnosis_answer
from trading_graph.service.mcp.brevity import MOST_CHARACTERS
from trading_graph.service.mcp.texts import diagnosis_text
from trading_graph.service.mcp.tools import TOOLS, Tool
from trading_graph.service.mcp.traces import Traces
from trading_graph.service.settings import read_settings

NAMED: dict[str, Tool] = {each.name: each for each in TOOLS}
RECORDED = Path(__file__).parents[2] / "recorded"
LONG = "x\u202e\x1b[2J" * 500


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Traces:
    monkeypatch.chdir(tmp_path)
    return Traces(read_settings(), None)


def answer(traces: Traces, tool: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return NAMED[tool].answer(traces, read_settings().redactor, arguments)


def write(path: Path, spans: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))


def asked_in_every_way(traces: Traces) -> list[tuple[str, str, dict[str, Any]]]:
    words = {"trace": "trace.json"}
    return [
        ("list_traces", *answer(traces, "list_traces")),
        ("verdict", *answer(traces, "verdict", **words)),
        ("diagnosis", *answer(traces, "diagnosis", **words, target_s=1)),
        ("what_if", *answer(traces, "what_if", **words, findings=[1, 2, 3])),
        ("span", *answer(traces, "span", **words, span_id="0000000000000001")),
        ("compare", *answer(traces, "compare", base=["trace.json"], new=["new.json"])),
    ]


@pytest.mark.parametrize("count", [300, pytest.param(100_000, marks=pytest.mark.full)])
def test_answers_are_short_and_plain_whatever_is_in_a_trace(
    traces: Traces, tmp_path: Path, count: int
) -> None:
    hostile = list(slow_run(count))
    for each in hostile[:1_000]:
        each["name"] = f"{each['name']} {LONG}"
    hostile[-1]["attributes"] = [
        *hostile[-1]["attributes"],  # type: ignore[misc]
        *({"key": f"{n} {LONG}", "value": {"stringValue": LONG}} for n in range(300)),
    ]
    write(tmp_path / "trace.json", hostile)
    write(tmp_path / "new.json", [each | {"traceId": "b" * 32} for each in hostile])
    for tool, text, content in asked_in_every_way(traces):
        assert 0 < len(text) + len(json.dumps(content, ensure_ascii=False)) <= MOST_CHARACTERS
        jsonschema_rs.validate(NAMED[tool].output_schema, content)
        assert text.replace("\n", "").isprintable()
        assert "\n" not in json.dumps(content)


def test_a_finding_that_does_not_exist_is_named(traces: Traces, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", list(slow_run(500)))
    _, why = answer(traces, "diagnosis", trace="trace.json")
    count = len(why["findings"]) + len(why["others"]) + why["findings_left_out"]
    answer(traces, "what_if", trace="trace.json", findings=[count])
    with pytest.raises(TraceError, match=f"has no finding {count + 1}; it has {count}"):
        answer(traces, "what_if", trace="trace.json", findings=[1, count + 1])


def test_what_if_plays_fixes_together_and_adds_no_gains(traces: Traces, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", list(slow_run(1_000)))
    _, why = answer(traces, "diagnosis", trace="trace.json")
    _, both = answer(traces, "what_if", trace="trace.json", findings=[1, 2])
    alone = [each["gain_s"]["likely"] for each in why["findings"][:2]]
    assert max(alone) <= both["gain_s"]["likely"] <= sum(alone)
    assert both["wall_s"]["likely"] == pytest.approx(why["wall_s"] - both["gain_s"]["likely"])


@pytest.mark.parametrize("case", ["langgraph-oi-par", "default_gate_second_visit"])
def test_a_doubt_is_promised_no_gain(traces: Traces, tmp_path: Path, case: str) -> None:
    path = RECORDED / f"cases/{case}.json"
    (tmp_path / "trace.json").write_bytes(path.read_bytes())
    text, why = answer(traces, "diagnosis", trace="trace.json")
    lines = [line for line in text.splitlines() if line[:1].isdigit()]
    doubts = [each for each in why["findings"] if each["kind"] == "possibly blocked event loop"]
    assert doubts
    assert not any(each["proven"] or each["gain_s"]["low"] for each in doubts)
    for each in doubts:
        (line,) = (line for line in lines if line.startswith(f"{each['number']}. "))
        assert "may gain up to" in line
        assert "gains" not in line


def test_findings_in_brief_say_which_are_doubts(traces: Traces, tmp_path: Path) -> None:
    path = RECORDED / "frameworks/crewai-openinference-mixed.json"
    (tmp_path / "trace.json").write_bytes(path.read_bytes())
    text, why = answer(traces, "diagnosis", trace="trace.json")
    lines = text.splitlines()
    assert why["others"]
    for each in why["others"]:
        (line,) = (line for line in lines if line.startswith(f"{each['number']}. "))
        assert ("may gain" in line) is not each["proven"]


@pytest.mark.parametrize(
    ("fixes", "call_s", "says"),
    [
        (1, None, "1 of the 5 findings shortens it for sure; the rest"),
        (1, 15.0, "1 of the 5 findings shortens the recorded run for sure; the rest"),
        (2, None, "2 of the 5 findings shorten it for sure, one on top of the other; the rest"),
        (5, None, None),
    ],
)
def test_how_many_findings_are_sure_and_of_which_time(
    traces: Traces, tmp_path: Path, fixes: int, call_s: float | None, says: str | None
) -> None:
    write(tmp_path / "trace.json", list(slow_run(500)))
    why = diagnosis_answer(
        TraceName("trace.json"), diagnosis_document(traces.read("trace.json").diagnosis())
    )
    target = msgspec.structs.replace(why.target, projected_call_s=call_s)
    left_out = 5 - len(why.findings) - len(why.others)
    changed = msgspec.structs.replace(why, fixes=fixes, target=target, findings_left_out=left_out)
    text = diagnosis_text(changed)
    assert ("for sure" in text) == (says is not None)
    assert says is None or says in text


def test_secrets_of_attributes_are_not_told(traces: Traces, tmp_path: Path) -> None:
    spans = list(slow_run(100))
    spans[-1]["attributes"] = [
        *spans[-1]["attributes"],  # type: ignore[misc]
        {"key": "http.request.header.authorization", "value": {"stringValue": "Bearer abcdef123"}},
    ]
    write(tmp_path / "trace.json", spans)
    text, content = answer(traces, "span", trace="trace.json", span_id="0000000000000001")
    assert content["attributes"]["http.request.header.authorization"] == "[redacted]"
    assert "abcdef123" not in text


def test_a_file_is_read_once_until_it_changes(traces: Traces, tmp_path: Path) -> None:
    trace_file(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda _: traces.read("trace.json"), range(8)))
    assert len(set(map(id, read))) == 1
    trace_file(tmp_path, serial=True)
    assert traces.read("trace.json") is not read[0]
    assert len(traces.read("trace.json").diagnosis().findings) > len(read[0].diagnosis().findings)


ID = "b" * 32


@pytest.mark.parametrize(
    ("tool", "more"),
    [
        ("verdict", {}),
        ("diagnosis", {}),
        ("what_if", {"findings": [1]}),
        ("span", {"span_id": "0000000000000001"}),
    ],
)
def test_an_id_that_the_file_does_not_hold_is_no_other_trace(
    traces: Traces, tmp_path: Path, tool: str, more: dict[str, Any]
) -> None:
    trace_file(tmp_path, serial=True)
    named = {"trace": "trace.json", **more}
    _, found = answer(traces, tool, id="a" * 32, **named)
    assert found["trace_id"] == "a" * 32
    with pytest.raises(TraceError) as error:
        answer(traces, tool, id=ID, **named)
    said = f"There is no trace {ID} in trace.json; it has {'a' * 32} 'answer', 7 spans."
    assert str(error.value) == said


def one_run(number: int, seconds: int) -> dict[str, Any]:
    """A run of one span in a trace that holds several."""
    begin = 1_763_100_000 * 10**9
    attributes = {
        semconv.OPERATION_NAME: {"stringValue": semconv.INVOKE_WORKFLOW},
        semconv.RUN_ID: {"stringValue": f"run-{number}"},
        semconv.SPANS_STARTED: {"intValue": "1"},
    }
    return {
        "traceId": "c" * 32,
        "spanId": f"{number:016x}",
        "name": "answer",
        "startTimeUnixNano": str(begin),
        "endTimeUnixNano": str(begin + seconds * 10**9),
        "attributes": [{"key": key, "value": value} for key, value in attributes.items()],
    }


def test_of_several_runs_in_a_trace_the_id_names_one(traces: Traces, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", [one_run(number, number) for number in (1, 2)])
    _, undecided = answer(traces, "verdict", trace="trace.json")
    assert undecided["passed"] is None
    for number in (1, 2):
        _, found = answer(traces, "verdict", trace="trace.json", id=f"run-{number}")
        assert found["wall_s"] == number
        _, why = answer(traces, "diagnosis", trace="trace.json", id=f"run-{number}")
        assert why["wall_s"] == number


def received(folder: Path) -> Path:
    path = folder / "runs" / "received" / "judged" / f"{ID}.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(trace_json(trace_id=ID))
    return path


def test_received_traces_are_listed_and_named_by_their_ids(traces: Traces, tmp_path: Path) -> None:
    received(tmp_path)
    text, content = answer(traces, "list_traces")
    assert [(each["trace"], each["kind"]) for each in content["traces"]] == [(ID, "received")]
    assert text.startswith("1 trace, ")
    _, found = answer(traces, "verdict", trace=ID)
    assert found["trace_id"] == ID
    _, why = answer(traces, content["next"]["tool"], **content["next"]["arguments"])
    assert why["trace_id"] == ID


def test_what_waits_in_the_spool_is_no_trace_to_ask_about(traces: Traces, tmp_path: Path) -> None:
    spool = tmp_path / "logs" / "spool" / "jaeger"
    spool.mkdir(parents=True)
    trace_file(spool)
    trace_file(tmp_path / "logs", "kept.json")
    _, content = answer(traces, "list_traces")
    assert [each["trace"] for each in content["traces"]] == ["logs/kept.json"]


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("diagnosis", {"trace": 3}),
        ("diagnosis", {"unknown": 1}),
        ("diagnosis", {"target_s": -1}),
        ("what_if", {"findings": []}),
        ("compare", {"base": ["a"]}),
        ("compare", {"base": ["a", "b"], "new": ["c"]}),
        ("list_traces", {"limit": 0}),
    ],
)
def test_arguments_that_cannot_be_used_get_a_sentence(
    traces: Traces, tool: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(TraceError) as error:
        answer(traces, tool, **arguments)
    assert str(error.value).endswith(".")
