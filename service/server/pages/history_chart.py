"""How long runs took, one after the other, against the line that they have to stay under."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.otel.report.charts import legend
from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.otel.report.page_findings import section

LIMIT_S = 120.0
_HEIGHT = 150
_SIMULATED = re.compile(r"simulated; at ([\d.]+) s a call this run takes (\d+) s")
_MOST = 60


@dataclass(frozen=True, slots=True)
class Took:
    """How long a run took; `projected_s` is what it takes at `call_s` a call, where simulated."""

    name: str
    seconds: float
    passed: bool | None
    projected_s: float | None = None
    call_s: float | None = None

    @property
    def judged_s(self) -> float:
        """What is compared with the limit."""
        return self.seconds if self.projected_s is None else self.projected_s


def took(name: str, seconds: float, passed: bool | None, verdict: str | None) -> Took:
    """A run's duration, with what its verdict says of simulated latencies."""
    found = _SIMULATED.search(verdict or "")
    if found is None:
        return Took(name, seconds, passed)
    return Took(name, seconds, passed, float(found[2]), float(found[1]))


def history(runs: Sequence[Took]) -> Markup:
    """The chart, the newest at the right."""
    if not runs:
        return Markup("")
    runs = runs[-_MOST:]
    top = max(LIMIT_S, *(each.judged_s for each in runs)) * 1.12
    # Few runs leave room at the right rather than become walls.
    width = 100 / max(len(runs), 24)
    bars = [_column(each, number * width, width, top) for number, each in enumerate(runs)]
    limit = _y(LIMIT_S, top)
    lines = [
        element("line", class_="zero", x1=0, x2="100%", y1=_HEIGHT, y2=_HEIGHT),
        element("line", class_="limit", x1=0, x2="100%", y1=limit, y2=limit),
        element("text", "120 s", x="100%", y=limit - 5, text_anchor="end"),
    ]
    drawing = element(
        "svg",
        joined([*bars, *lines]),
        class_="history",
        width="100%",
        height=_HEIGHT + 1,
        role="img",
        aria_label=_in_words(runs),
    )
    simulated = any(each.projected_s is not None for each in runs)
    return section(
        "Durations",
        drawing,
        _legend(runs) if simulated else Markup(""),
        note=_in_words(runs),
    )


def _column(each: Took, left: float, width: float, top: float) -> Markup:
    x, thick = f"{left + width * 0.14:.3f}%", f"{width * 0.72:.3f}%"
    over = " over" if each.judged_s > LIMIT_S else ""
    said = f"{each.name}: {each.seconds:.1f} s"
    columns = []
    if each.projected_s is not None:
        said += f" simulated, {each.projected_s:.0f} s at {each.call_s:g} s a call"
        y = _y(each.projected_s, top)
        columns.append(
            element("rect", class_=f"projected{over}", x=x, y=y, width=thick, height=_HEIGHT - y)
        )
    y = _y(each.seconds, top)
    columns.append(
        element("rect", class_=f"measured{over}", x=x, y=y, width=thick, height=_HEIGHT - y)
    )
    return element("g", element("title", said), joined(columns))


def _y(seconds: float, top: float) -> float:
    return round(_HEIGHT * (1 - seconds / top), 1)


def _in_words(runs: Sequence[Took]) -> str:
    last = runs[-1]
    over = sum(each.judged_s > LIMIT_S for each in runs)
    inside = "all inside 120 s" if not over else f"{over} over 120 s"
    said = f"The last {len(runs)} runs, {inside}. The newest took {last.seconds:.1f} s"
    if len(runs) == 1:
        said = f"The newest run took {last.seconds:.1f} s"
    if last.projected_s is not None:
        said += (
            f" with simulated latencies; at {last.call_s:g} s a call it takes "
            f"{last.projected_s:.0f} s"
        )
    return f"{said}."


def _legend(runs: Sequence[Took]) -> Markup:
    call_s = next(each.call_s for each in reversed(runs) if each.call_s is not None)
    return legend((("measured", "measured"), ("projected", f"at {call_s:g} s a call")))
