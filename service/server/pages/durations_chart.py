"""The chart of how long runs took: a bar a run, in the colour of its verdict, that leads to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from trading_graph.service.server.pages.layout import outcome
from trading_graph.service.server.pages.run_progress import LIMIT_S
from trading_graph.service.server.pages.verdict_page import RunDuration

MOST_RUNS = 60
_HEIGHT = 150
_LEAST = 2.0
"""The least height of a bar: what was measured can be seen where simulated latencies are short."""
_FEWEST_COLUMNS = 24
"""Few runs leave room at the right of the chart rather than become walls."""


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """How long a run took, its page, and what its verdict says."""

    page: str
    duration: RunDuration
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """A run in the chart: its page, its place in per cent, and its bars by class and top."""

    page: str
    title: str
    left: float
    width: float
    bars: Sequence[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class History:
    """How long runs took, one after the other, against the line that they have to stay under.

    `legend` are the classes of the bars that are there, each with its meaning.
    """

    columns: Sequence[Column]
    limit: float
    words: str
    legend: Sequence[tuple[str, str]]
    height: int = _HEIGHT


def history(runs: Sequence[JudgedRun]) -> History | None:
    """The chart of at most 60 runs, the newest at the right; None where there is no run."""
    if not runs:
        return None
    runs = runs[-MOST_RUNS:]
    top = max(LIMIT_S, *(each.duration.judged_s for each in runs)) * 1.12
    width = 100 / max(len(runs), _FEWEST_COLUMNS)
    return History(
        columns=[_column(each, number * width, width, top) for number, each in enumerate(runs)],
        limit=_y(LIMIT_S, top),
        words=_in_words(runs),
        legend=_legend(runs),
    )


def _column(run: JudgedRun, left: float, width: float, top: float) -> Column:
    duration = run.duration
    word, kind = outcome(run.passed)
    title = f"{duration.name}: {duration.seconds:.1f} s"
    bars = [(f"measured {kind}-bar", min(_y(duration.seconds, top), _HEIGHT - _LEAST))]
    if duration.projected_s is not None:
        title += f" simulated, {duration.projected_s:.0f} s at {duration.call_s:g} s a call"
        bars.insert(0, (f"projected {kind}-bar", _y(duration.projected_s, top)))
    return Column(run.page, f"{title}; {word}", left + width * 0.14, width * 0.72, bars)


def _y(seconds: float, top: float) -> float:
    return round(_HEIGHT * (1 - seconds / top), 1)


def _legend(runs: Sequence[JudgedRun]) -> list[tuple[str, str]]:
    there = {outcome(each.passed) for each in runs}
    words = [(f"{kind}-bar", word) for word, kind in map(outcome, (True, False, None))]
    entries = [(bar, word) for bar, word in words if word in {each for each, _ in there}]
    calls = [each.duration.call_s for each in runs if each.duration.call_s is not None]
    if calls:
        entries += [
            ("measured plain-bar", "measured"),
            ("projected plain-bar", f"at {calls[-1]:g} s a call"),
        ]
    return entries


def _in_words(runs: Sequence[JudgedRun]) -> str:
    last = runs[-1].duration
    over = sum(each.duration.judged_s > LIMIT_S for each in runs)
    inside = f"{over} over {LIMIT_S:g} s" if over else f"all inside {LIMIT_S:g} s"
    words = f"The last {len(runs)} runs, {inside}. The newest took {last.seconds:.1f} s"
    if len(runs) == 1:
        words = f"The newest run took {last.seconds:.1f} s"
    if last.projected_s is not None:
        words += (
            f" with simulated latencies; at {last.call_s:g} s a call it takes "
            f"{last.projected_s:.0f} s"
        )
    return f"{words}."
