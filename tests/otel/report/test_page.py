"""The page: whole, safe whatever a trace says, and small whatever its size."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

from hypothesis import given

from tests.otel.diagnosis.traces import BEGIN, MS, Drawn, drawn, random_traces
from tests.otel.report.runs import slow_diagnosis, slow_run
from trading_graph.graph.gate_loader import own_gate
from trading_graph.otel.diagnosis import Diagnosis, diagnose, ranking_of
from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.page import page
from trading_graph.otel.report.timeline import MOST_BARS, Timeline
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder

_VOID = {"meta", "line", "rect", "path", "text"}
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"


class Read(HTMLParser):
    """Reads a page strictly: every element is closed where it has to be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _VOID
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_what_a_trace_says_stays_text() -> None:
    found = Read(page(slow_diagnosis(trace=slow_run(name=HOSTILE))))
    assert "script" not in found.tags
    assert "img" not in found.tags
    assert any(HOSTILE in text for text in found.texts), "it is shown all the same"
    assert all(not name.startswith("on") for name, _ in found.attributes)


def test_the_policy_allows_the_style_sheet_and_nothing_else() -> None:
    text = page(slow_diagnosis())
    found = Read(text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = next(
        value for name, value in found.attributes if name == "content" and "src" in str(value)
    )
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    # What the policy would block is not there either.
    assert {"style", "src", "href"}.isdisjoint(name for name, _ in found.attributes)
    assert "script" not in found.tags
    assert "url(" not in style
    assert "@import" not in style


def test_it_shows_every_node_finding_and_step() -> None:
    found = slow_diagnosis()
    text = " ".join(Read(page(found)).texts)
    for number in range(3):
        assert f"analyst {number}" in text
    for each in found.findings:
        assert each.evidence in text
    assert brief(found.wall_s) in text
    assert brief(found.target.least_s) in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_bars_of_the_path_sum_to_the_run() -> None:
    timeline = Timeline(ranking_of(slow_diagnosis()))
    covered = sum(
        end - start for node in timeline.nodes for start, end in timeline.path_below[id(node)]
    )
    own = timeline.ranking.path.self_ns.get(timeline.tree.run, 0)
    assert covered + own == timeline.tree.wall_ns


def _wide(count: int) -> SpanTable:
    below: list[Drawn] = [(f"call {n % 7}", 2 * n, 2 * n + 1, []) for n in range(count)]
    return drawn(("run", 0, 2 * count, below))


def _deep(count: int) -> SpanTable:
    builder = TraceBuilder("0" * 31 + "3")
    for number in range(count + 1):
        times = BEGIN + number * MS, BEGIN + (3 * count - number) * MS
        parent = f"{number:016x}" if number else ""
        builder.add(SpanValues(f"{number + 1:016x}", parent, f"level {number}", 1, *times, 0, dict))
    return builder.build()


def test_a_large_trace_is_drawn_by_call_path() -> None:
    small, large = (Read(page(slow_diagnosis(trace=_wide(n)))) for n in (MOST_BARS // 2, 20_000))
    assert small.tags.count("rect") > MOST_BARS // 2
    assert large.tags.count("rect") < 2 * MOST_BARS
    assert any("call 3 x 2857" in text for text in large.texts)


def test_the_path_of_what_is_left_out_is_drawn_above_it() -> None:
    timeline = Timeline(ranking_of(slow_diagnosis(trace=_deep(3000))))
    assert timeline.by_path
    assert timeline.left_out > 0
    (node,) = timeline.nodes
    ((start, end),) = timeline.path_below[id(node)]
    assert end - start == timeline.tree.duration(node.rows[0])


def test_a_deep_trace_says_what_it_leaves_out() -> None:
    text = page(slow_diagnosis(trace=_deep(700)))
    assert text.count('class="row') > 700
    deep = Timeline(ranking_of(slow_diagnosis(trace=_wide(3000))))
    assert deep.by_path
    assert deep.left_out == 0
    names: list[Drawn] = [(f"n{n}", n, n + 1, []) for n in range(3000)]
    many = Timeline(ranking_of(slow_diagnosis(trace=drawn(("run", 0, 3000, names)))))
    assert len(many.nodes) + many.left_out == 3000


@given(random_traces())
def test_any_tree_makes_a_page(trace: SpanTable) -> None:
    found = diagnose(trace, own_gate(), 1.0)
    if isinstance(found, Diagnosis):
        Read(page(found))
