"""Durations as reports write them: three or four digits, whatever their size."""

from trading_graph.otel.diagnosis import Prediction


def brief(nanoseconds: float) -> str:
    """A duration in seconds with three or four digits, below 0.1 s in milliseconds."""
    seconds = nanoseconds / 1e9
    if abs(seconds) < 0.1:
        milliseconds = seconds * 1000
        return f"{milliseconds:.{3 if milliseconds >= 1 else 2}g} ms" if seconds else "0 s"
    return f"{seconds:,.{_decimals(seconds)}f} s"


def limit(nanoseconds: int) -> str:
    """A limit that somebody wrote, as it was written."""
    return f"{nanoseconds / 1e9:g} s"


def between(low_ns: float, high_ns: float) -> str:
    """An interval of durations, its unit written once where both ends share it."""
    low, high = brief(low_ns), brief(high_ns)
    if low == high:
        return low
    same_unit = low.rpartition(" ")[2] == high.rpartition(" ")[2]
    return f"{low.rpartition(' ')[0] if same_unit else low} to {high}"


def gain(wall_ns: int, found: Prediction) -> str:
    """What a change gains of a run's time, as an interval; never less than nothing."""
    return between(max(wall_ns - found.high_ns, 0), max(wall_ns - found.low_ns, 0))


def faster(before_ns: float, after_ns: float) -> str:
    """How many times as fast the second is."""
    return f"{before_ns / after_ns:.1f}x faster" if after_ns > 0 else "no time left"


def share(part: float, whole: float) -> str:
    """A part of a whole in per cent; one that rounds to nothing says so."""
    if not whole or not part:
        return "0 %"
    found = part / whole
    return f"{found:.0%}".replace("%", " %") if found >= 0.005 else "< 1 %"


def _decimals(seconds: float) -> int:
    return 0 if abs(seconds) >= 1000 else 1 if abs(seconds) >= 10 else 2
