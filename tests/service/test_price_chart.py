"""The chart of a decision: sound XML for any prices, with labels that never lie on one another."""

import datetime
import math
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from trading_graph.service.run.chart_scale import chart_price, price_scale, spread
from trading_graph.service.run.price_chart import (
    HEIGHT,
    WIDTH,
    Level,
    Subject,
    draw_chart,
)
from trading_graph.toolkit.chart_bars import SESSIONS, ChartBars

SVG = "{http://www.w3.org/2000/svg}"
FONT = 12.0
# Wider than the letters and digits of any common sans-serif font are on average.
CHARACTER = 0.58 * FONT
NVDA = Subject("NVDA", "USD", "NVIDIA Corporation")


def history(closes: list[float], *, spread: float = 0.01, volume: bool = True) -> ChartBars:
    """Bars around these closes, a weekday each, up to 2025-11-14."""
    days: list[str] = []
    day = datetime.date(2025, 11, 14)
    while len(days) < len(closes):
        if day.weekday() < 5:
            days.insert(0, day.isoformat())
        day -= datetime.timedelta(days=1)

    def average(window: int) -> list[float | None]:
        return [
            None if i + 1 < window else math.fsum(closes[i + 1 - window : i + 1]) / window
            for i in range(len(closes))
        ]

    return ChartBars(
        days,
        closes[:1] + closes[:-1],
        [max(pair) * (1 + spread) for pair in zip(closes, closes[:1] + closes[:-1], strict=True)],
        [min(pair) * (1 - spread) for pair in zip(closes, closes[:1] + closes[:-1], strict=True)],
        closes,
        [1e6 if volume else 0.0] * len(closes),
        average(20),
        average(50),
    )


def trade(entry: float, stop: float, target: float) -> list[Level]:
    return [Level("entry", entry), Level("stop", stop), Level("target", target)]


class Box(NamedTuple):
    """Where a text of a drawing stands, in the drawing's own units."""

    text: str
    left: float
    right: float
    top: float
    bottom: float


def drawings(svg: str) -> Iterator[tuple[float, float, list[Box]]]:
    """The width, the height and the texts of each drawing."""
    root = ElementTree.fromstring(svg)
    groups = root.findall(f"{SVG}g")
    assert [group.get("class") for group in groups] == ["wide", "narrow"]
    for group, scale in zip(groups, (1, 2), strict=True):
        yield WIDTH / scale, HEIGHT / scale, [_box(text) for text in group.iter(f"{SVG}text")]


def _box(element: ElementTree.Element) -> Box:
    text = element.text or ""
    x, y, width = float(element.attrib["x"]), float(element.attrib["y"]), len(text) * CHARACTER
    share = {"end": 1.0, "middle": 0.5}.get(element.get("text-anchor", ""), 0.0)
    return Box(text, x - share * width, x + (1 - share) * width, y - 0.8 * FONT, y + 0.25 * FONT)


def assert_readable(svg: str) -> None:
    """Every text is inside of its drawing, and none touches another."""
    for width, height, boxes in drawings(svg):
        for i, one in enumerate(boxes):
            assert one.left >= 0, one
            assert one.right <= width, one
            assert one.top >= 0, one
            assert one.bottom <= height, one
            for other in boxes[i + 1 :]:
                apart = one.right <= other.left or other.right <= one.left
                assert apart or one.bottom <= other.top or other.bottom <= one.top, (one, other)


def labels(svg: str, kind: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return [str(text.text) for text in root.iter(f"{SVG}text") if text.get("class") == kind]


prices = st.one_of(
    st.floats(1e-7, 1e7),
    st.sampled_from([8.17e-06, 0.01, 1.0, 190.17, 641_000.0, 1_234_567.0]),
)
series = st.builds(
    lambda start, steps: [start * math.exp(sum(steps[: i + 1])) for i in range(len(steps))],
    prices,
    st.lists(st.floats(-0.1, 0.1), min_size=1, max_size=SESSIONS),
)


@settings(deadline=None, database=None, max_examples=examples(150))
@given(
    closes=series,
    shares=st.tuples(*[st.floats(0.5, 1.6)] * 3),
    names=st.sets(st.sampled_from(("entry", "stop", "target"))),
    volume=st.booleans(),
    spread=st.sampled_from([0.0, 0.01]),
)
@example([190.17] * 126, (1.0, 1.0, 1.0), {"entry", "stop", "target"}, True, 0.0)
@example([1.0, 100.0] * 63, (1.0, 0.9, 1.1), {"entry", "stop", "target"}, True, 0.01)
def test_labels_never_overlap_whatever_the_prices(
    closes: list[float],
    shares: tuple[float, float, float],
    names: set[str],
    volume: bool,
    spread: float,
) -> None:
    levels = [
        Level(name, closes[-1] * share)
        for name, share in zip(("entry", "stop", "target"), shares, strict=True)
        if name in names
    ]
    svg = draw_chart(history(closes, volume=volume, spread=spread), levels, NVDA)
    assert_readable(svg)
    assert len(svg.encode()) < 60_000
    for name in ("entry", "stop", "target"):
        assert len(labels(svg, name)) == (2 if name in names else 0)


ODD = {
    "one bar": [190.17],
    "two bars": [190.17, 191.0],
    "constant": [5.0] * SESSIONS,
    "tiny": [8.17e-06 * (1 + i / 1000) for i in range(SESSIONS)],
    "tiny and constant": [8.17e-06] * SESSIONS,
    "100 to 1": [100.0 - 99.0 * i / (SESSIONS - 1) for i in range(SESSIONS)],
    "large": [1_234_567.0 + i for i in range(SESSIONS)],
    "huge": [3.2e14] * 30,
    "below zero": [-37.6, 12.0, 3.0],
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_series_has_a_sound_chart(name: str) -> None:
    closes = ODD[name]
    last = abs(closes[-1])
    svg = draw_chart(history(closes), trade(last, last * 0.93, last * 1.12), NVDA)
    assert_readable(svg)
    assert not re.search(r"nan|inf\b", svg.split("</style>")[1])
    for numbers in re.findall(r'(?:\bd|[xy][12]?|c[xy])="([^"]+)"', svg.split("</style>")[1]):
        for number in re.findall(r"-?\d+(?:\.\d+)?", numbers):
            assert -HEIGHT <= float(number) <= WIDTH, "everything is inside of the chart"


def test_a_chart_is_a_document_without_script_that_says_what_it_shows() -> None:
    evil = Subject("NVDA", "<b>", '</title><script>alert(1)</script>\x00\x1b" onload="x')
    svg = draw_chart(history([190.0, 190.17]), trade(190.17, 174.72, 220.91), evil)
    root = ElementTree.fromstring(svg)
    allowed = {"svg", "title", "desc", "style", "rect", "g", "line", "path", "circle", "text"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == allowed
    for element in root.iter():
        assert not [name for name in element.attrib if name.startswith("on") or "href" in name]
    assert "url(" not in svg
    assert "@import" not in svg
    assert root.get("role") == "img"
    title, words = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert words is not None
    assert root.get("aria-labelledby", "").split() == [title.get("id"), words.get("id")]
    for said in ("NVDA", "<b>", "190.17", "174.72", "220.91", "2025-11-13 to 2025-11-14"):
        assert said in str(words.text)


def test_the_levels_stand_in_their_order_with_how_far_they_are() -> None:
    svg = draw_chart(history([180.0, 190.17]), trade(190.17, 174.72, 220.91), NVDA)
    assert labels(svg, "target")[0] == "target 220.91 · +16.2 %"
    assert labels(svg, "stop")[0] == "stop 174.72 · -8.1 %"
    assert labels(svg, "entry")[0] == "entry 190.17"
    _, _, boxes = next(drawings(svg))
    tops = {box.text.split()[0]: box.top for box in boxes}
    assert tops["target"] < tops["entry"] < tops["close"] < tops["stop"]


def test_a_level_far_away_does_not_press_the_prices_flat() -> None:
    closes = [190.0 + i % 7 for i in range(60)]
    svg = draw_chart(history(closes), trade(190.0, 180.0, 9000.0), NVDA)
    assert labels(svg, "target")[0] == "target 9,000.00 ↑"
    near = price_scale(closes, [9000.0], 0, 100)
    assert near.high - near.low < 20


def test_no_volume_has_no_panel_and_no_levels_no_lines() -> None:
    svg = draw_chart(history([1.0, 1.1], volume=False), [], NVDA)
    assert 'class="volume' not in svg
    assert not any(labels(svg, name) for name in ("entry", "stop", "target"))
    assert labels(svg, "close")[0] == "close 1.10"
    assert 'class="volume' in draw_chart(history([1.0, 1.1]), [], NVDA)


def test_a_fund_with_one_price_a_day_is_a_line() -> None:
    close, none = [10.0, 10.2], [None, None]
    days = ["2025-11-13", "2025-11-14"]
    flat = ChartBars(days, close, close, close, close, [0.0, 0.0], none, none)
    assert 'class="price"' in draw_chart(flat, [], NVDA)
    assert 'class="price"' not in draw_chart(history([10.0, 10.2]), [], NVDA)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (190.17, "190.17"),
        (8.17e-06, "8.17e-06"),
        (1_234_567.0, "1,234,567"),
        (12_345.5, "12,345.50"),
        (0.01234, "0.01234"),
        (3.2e14, "3.2e+14"),
        (0.0, "0"),
    ],
)
def test_prices_keep_the_digits_that_matter(price: float, text: str) -> None:
    assert chart_price(price) == text


@settings(deadline=None, database=None, max_examples=examples(200))
@given(low=st.floats(1e-8, 1e8), factor=st.floats(1, 100), most=st.integers(2, 9))
def test_marks_of_the_axis_are_few_and_differ(low: float, factor: float, most: int) -> None:
    marks = price_scale([low, low * factor], [], 0.0, 100.0).marks(most)
    assert 1 <= len(marks) <= most
    texts = [mark.text for mark in marks]
    assert len(set(texts)) == len(texts)
    for mark, text in zip(marks, texts, strict=True):
        assert 0 <= mark.at <= 100
        assert price_scale([low, low * factor], [], 0.0, 100.0).y(
            float(text.replace(",", ""))
        ) == pytest.approx(mark.at, abs=1.0)


@settings(deadline=None, database=None)
@given(st.lists(st.floats(-50, 250), min_size=1, max_size=6).map(sorted))
def test_labels_are_spread_near_their_places(places: list[float]) -> None:
    apart = spread(places, 15.0, 10.0, 190.0)
    assert all(b - a >= 15.0 - 1e-9 for a, b in pairwise(apart))
    assert all(10.0 - 1e-9 <= each <= 190.0 + 1e-9 for each in apart)
    alone = [
        each
        for i, each in enumerate(places)
        if 10 <= each <= 190 and all(abs(each - o) > 100 for j, o in enumerate(places) if j != i)
    ]
    assert all(each in apart for each in alone)
