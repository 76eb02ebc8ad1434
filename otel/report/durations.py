"""Durations as reports write them, in seconds or milliseconds."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trading_graph.otel.diagnosis import Interval


def brief(seconds: float) -> str:
    """A duration in seconds with three or four digits, below 0.1 s in milliseconds."""
    if abs(seconds) < 0.1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.{3 if milliseconds >= 1 else 2}g} ms" if seconds else "0 s"
    return f"{seconds:,.{_decimals(seconds)}f} s"


def rough(seconds: float) -> str:
    """A duration as people say it: `9.3 s`, `4.2 min`, `41 min`, `2 h 5 min`."""
    if abs(seconds) < 120:
        return brief(seconds)
    if abs(seconds) < 600:
        return f"{seconds / 60:.1f} min"
    minutes = round(seconds / 60)
    if abs(minutes) < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


def exact(seconds: float, *, sign: bool = False) -> str:
    """A duration to the millisecond, below a second to 0.1 ms, and below a millisecond to 1 us."""
    plus = "+" if sign else ""
    if not seconds:
        return "0 s"
    if abs(seconds) >= 0.99995:
        return f"{seconds:{plus}.3f} s"
    return f"{seconds * 1000:{plus}.{1 if abs(seconds) >= 0.001 else 3}f} ms"


def between(interval: "Interval") -> str:
    """An interval of durations, its unit written once where both ends share it."""
    low, high = brief(interval.low_s), brief(interval.high_s)
    if low == high:
        return low
    same_unit = low.rpartition(" ")[2] == high.rpartition(" ")[2]
    return f"{low.rpartition(' ')[0] if same_unit else low} to {high}"


def faster(before_s: float, after_s: float) -> str:
    """How many times as fast the second is."""
    return f"{before_s / after_s:.1f}x faster" if after_s > 0 else "no time left"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; one that rounds to nothing says so."""
    if not whole or not part:
        return "0 %"
    ratio = part / whole
    return f"{ratio:.0%}".replace("%", " %") if ratio >= 0.005 else "< 1 %"


def _decimals(seconds: float) -> int:
    return 0 if abs(seconds) >= 1000 else 1 if abs(seconds) >= 10 else 2
