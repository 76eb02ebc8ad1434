"""A part of a trace, a forest, traces that are joined: what is above what, and what is proven."""

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trading_graph.graph.gate_loader import default_gate
from trading_graph.otel.sources import parse
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder
from trading_graph.otel.trace.parts import below, forest, join, rows_of, runs
from trading_graph.otel.verdict import Strength, judge
from trading_graph.otel.verdict.causes import Cause
from trading_graph.service.cli import main

MS = 10**6
RECORDED = {
    "witness.records": ["loop_lag", "cpu", "waits"],
    "witness.waits": ["semaphore", "connection_pool"],
    "witness.loop.lag_max_ms": 1.0,
    "witness.cpu.over_wall": 0.1,
}

Drawn = tuple[str, str, int, int]


def trace(
    *spans: Drawn, id: str = "t", resource: dict[str, str] | None = None, **more: object
) -> SpanTable:
    """A trace of (id, parent, start, end) in ms; ids that begin with `llm` are calls of a model."""
    builder = TraceBuilder(id)
    for span_id, parent, start, end in spans:
        own = {"gen_ai.operation.name": "chat"} if span_id.startswith("llm") else {}
        attributes = {**RECORDED, **own, **more}
        builder.add(
            SpanValues(
                span_id,
                parent,
                span_id,
                1,
                (1000 + start) * MS,
                (1000 + end) * MS,
                0,
                lambda attributes=attributes: attributes,  # type: ignore[misc]
                resource=resource or {"service.name": "s"},
            )
        )
    return builder.build()


WHOLE = trace(
    ("run", "", 0, 100),
    ("step", "run", 10, 90),
    ("llm1", "step", 20, 80),
    ("llm2", "step", 21, 81),
    ("other", "run", 90, 99),
)


def test_below_a_span_is_what_it_and_its_children_are() -> None:
    (row,) = rows_of(WHOLE, "step")
    part = below(WHOLE, row)
    assert part.names == ("step", "llm1", "llm2")
    assert part.parent.tolist() == [-1, 0, 0]
    assert "Judged below 'step' alone: 3 of 5 spans" in part.notes[0]
    verdict = judge(part, default_gate(part))
    assert part.notes[0] in verdict.notes
    assert [c.strength for c in verdict.checks if c.id == "fan_outs"] == [Strength.PROVEN]


def test_across_the_trees_of_a_forest_nothing_is_proven_and_within_them_it_is() -> None:
    broken = trace(
        ("a", "gone", 0, 100),
        ("llm1", "a", 1, 99),
        ("llm2", "a", 2, 98),
        ("b", "gone too", 1, 100),
        ("llm3", "b", 2, 99),
        ("llm4", "b", 3, 98),
    )
    assert not judge(broken, default_gate(broken)).judged
    whole = forest(broken)
    assert [whole.names[row] for row in whole.roots] == ["forest"]
    assert "nothing is proven across them" in whole.notes[0]
    verdict = judge(whole, default_gate(whole))
    (check,) = (c for c in verdict.checks if c.id == "fan_outs")
    assert check.strength is Strength.OVERLAPPING
    assert Cause.JOINED in check.causes
    one = trace(("llm1", "", 0, 9), ("llm2", "llm1", 1, 2))
    assert forest(one) is one


def test_a_root_that_encloses_the_others_is_above_them() -> None:
    first = trace(("run", "", 0, 100), id="1")
    others = [trace((f"llm{n}", "", 10 + n, 90), id=f"{n}") for n in (2, 3)]
    (group,) = runs([*others, first])
    joined = join(group)
    assert joined.trace_id == "1"
    assert joined.names == ("run", "llm2", "llm3")
    assert joined.parent.tolist() == [-1, 0, 0]
    verdict = judge(joined, default_gate(joined))
    (check,) = (c for c in verdict.checks if c.id == "fan_outs")
    assert (check.strength, check.causes) == (Strength.OVERLAPPING, (Cause.JOINED,))


@pytest.mark.parametrize("unit", [1, 1000, 10**6])
def test_runs_are_told_apart_by_session_and_by_process_and_time(unit: int) -> None:
    def at(name: str, start: int, end: int, process: str, **more: object) -> SpanTable:
        spans = (f"llm{name}", "", start * unit, end * unit)
        return trace(spans, id=name, resource={"service.name": process}, **more)

    found = runs(
        [
            at("a", 0, 100, "p"),
            at("b", 50, 120, "p"),  # overlaps
            at("c", 125, 200, "p"),  # soon after
            at("d", 400, 500, "p"),  # long after
            at("e", 0, 100, "q"),  # another process
            at("f", 0, 100, "p", **{"session.id": "s"}),
            at("g", 900, 990, "q", **{"session.id": "s"}),
        ]
    )
    ids = sorted(sorted(each.trace_id for each in group) for group in found)
    assert ids == [["a", "b", "c"], ["d"], ["e"], ["f", "g"]]


def sampled(attributes: dict[str, Any]) -> SpanTable:
    spans = ("a", "gone", 0, 9), ("b", "gone too", 1, 2), ("c", "a", 1, 2)
    return trace(*spans, **attributes)


@pytest.mark.parametrize(
    "sign",
    [
        {"SampleRate": 10},
        {"sampler.type": "probabilistic", "sampler.param": 0.1},
        {"tracestate": "ot=th:c"},
        {"tracestate": "vendor=1,ot=rv:1;th:8"},
        {"_dd.agent_psr": 0.5},
    ],
)
def test_a_sampled_trace_is_called_sampled(sign: dict[str, Any]) -> None:
    found = sampled(sign)
    verdict = judge(found, default_gate(found))
    assert len(verdict.missing) == 1
    assert verdict.missing[0].startswith("The trace is sampled")


@pytest.mark.parametrize("sign", [{}, {"SampleRate": 1}, {"tracestate": "ot=th:0"}])
def test_one_that_keeps_everything_is_incomplete(sign: dict[str, Any]) -> None:
    found = sampled(sign)
    verdict = judge(found, default_gate(found))
    assert not any("sampled" in sentence for sentence in verdict.missing)
    assert any("--forest" in sentence for sentence in verdict.missing)


def test_a_trace_state_of_otlp_is_read() -> None:
    span = {
        "traceId": "a" * 32,
        "spanId": "b" * 16,
        "parentSpanId": "c" * 16,
        "name": "x",
        "traceState": "ot=th:c",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
    }
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    (found,) = parse(text.encode(), "x")
    assert judge(found, default_gate(found)).missing[0].startswith("The trace is sampled")


def id_of(number: int, name: str) -> str:
    return f"{number:08x}{zlib.crc32(name.encode()):08x}"


def write(path: Path, *traces: list[Drawn]) -> Path:
    spans = [
        {
            "traceId": f"{number:032x}",
            "spanId": id_of(number, name),
            "name": name.rstrip("+"),
            **({"parentSpanId": id_of(number, above)} if above else {}),
            "startTimeUnixNano": str((1000 + start) * MS),
            "endTimeUnixNano": str((1000 + end) * MS),
            "attributes": [
                {"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                {"key": "session.id", "value": {"stringValue": f"s{number}"}},
            ],
        }
        for number, rows in enumerate(traces, start=1)
        for name, above, start, end in rows
    ]
    path.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    return path


def test_the_command_takes_a_root_by_its_name_or_says_which_there_are(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.json",
        [("a", "", 0, 9), ("b", "", 0, 9), ("twice", "b", 1, 2), ("twice+", "a", 1, 2)],
    )

    def verify(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["verify", str(path), *words])
        return done.exit_code, " ".join((done.stdout + done.stderr).split())

    code, said = verify()
    assert code == 3
    assert "--root" in said
    assert verify("--root", "b")[0] == 0
    assert verify("--forest")[0] == 0
    code, said = verify("--root", "twice")
    assert code == 3
    assert "2 spans" in said
    code, said = verify("--root", "nobody")
    assert code == 3
    assert "has the id or the name 'nobody'" in said


def test_each_ends_as_the_worst_and_compare_takes_sets(tmp_path: Path) -> None:
    slow = [("run", "", 0, 3000), ("x", "run", 0, 2900)]
    quick = [("run", "", 0, 1000), ("x", "run", 0, 900)]
    many = write(tmp_path / "many.json", quick, slow, quick)
    run = CliRunner().invoke
    done = run(main, ["verify", str(many), "--each", "--target", "2"])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "3 judged: 2 passed, 1 failed, 0 without a verdict."
    done = run(main, ["verify", str(many), "--each", "--format", "json"])
    assert [json.loads(line)["trace_id"][-1] for line in done.stdout.splitlines()] == list("123")
    done = run(main, ["diagnose", str(many), "--each", "--target", "2"])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith("3 diagnosed: 2 inside the target, 1 over it")
    done = run(main, ["diagnose", str(many), "--each"])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == (
        "3 diagnosed: 0 inside the target, 0 over it, 3 without one, 0 could not be judged."
    )
    base = write(tmp_path / "base.json", quick, quick, quick)
    slower = write(tmp_path / "slower.json", slow, slow, slow)
    words = ["compare", str(base), str(slower), "--each", "--format", "json"]
    done = run(main, words)
    assert done.exit_code == 1
    assert json.loads(done.stdout)["passed"] is False


def test_a_note_stays_when_times_are_moved() -> None:
    noted = replace(WHOLE, notes=("n",), joints=frozenset({"step"}))
    moved = noted.with_times(noted.start + 5, noted.end + 5)
    assert (moved.notes, moved.joints) == (noted.notes, noted.joints)


@pytest.mark.parametrize(
    ("parent", "is_judged"), [("c" * 16, True), ("ff", False), ("not an id", False)]
)
def test_a_missing_parent_is_a_caller_if_it_can_be_a_span(parent: str, is_judged: bool) -> None:
    top, below_it = "a" * 16, "llm" + "b" * 13
    whole = trace((top, parent, 0, 9), (below_it, top, 1, 8))
    verdict = judge(whole, default_gate(whole))
    assert verdict.judged == is_judged
    assert any("recorded elsewhere" in note or "not in this" in note for note in verdict.notes) == (
        is_judged
    )
