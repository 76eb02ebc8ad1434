"""What `trading-graph probe` says at its end."""

from collections.abc import Iterator
from shlex import join
from typing import TypeAlias

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from trading_graph.otel.report.durations import brief
from trading_graph.otel.report.tables import Table
from trading_graph.otel.trace.dependencies import Dependencies, ProbedSpan, ShownWait, WaitOrder

_SHOWN = 40
_NAMED = 4

Cells: TypeAlias = tuple[str, ...]


class ProbeText:
    """The dependencies of a program as rich draws them."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the tables one below the other."""
        dependencies = self._dependencies
        longer = dependencies.total_s / (dependencies.wall_s * dependencies.runs)
        yield Text(
            f"{dependencies.runs} runs of {join(dependencies.program)}: "
            f"{brief(dependencies.wall_s)} undisturbed, with delays {longer:.2f} times as long on "
            "average."
        )
        rows = list(self._waits())
        if rows:
            yield ""
            yield Table(["span", "waits for", "how it is known"], rows[:_SHOWN]).in_terminal()
            if len(rows) > _SHOWN:
                yield Text(f"and {len(rows) - _SHOWN} more (all of them: --json)")
        else:
            yield Text("No span waits for another.")
        for limit in dependencies.limits:
            yield ""
            names = [self._name(each) for each in limit.spans]
            yield Text(
                f"A shared limit lets {limit.at_once} of {len(names)} run at a time, and they do "
                f"not wait for each other: {_some(names)}."
            )
        unsettled = [self._name(at) for at, each in enumerate(dependencies.spans) if each.open]
        if unsettled:
            yield ""
            verb = "waits" if len(unsettled) == 1 else "wait"
            yield Text(f"Not settled: what {_some(unsettled)} {verb} for; more --runs settle more.")
        if dependencies.left_out:
            yield ""
            paths = [" > ".join(each) for each in dependencies.left_out]
            yield Text(
                f"Left out, since not all runs have them equally often: {_some(paths)}. But for "
                "these the program is repeatable."
            )
        if dependencies.speed_ups:
            yield ""
            yield Table(
                ["if this took less", "the run would take", "measured"], list(self._speed_ups())
            ).in_terminal()

    def _waits(self) -> Iterator[Cells]:
        for at, span in enumerate(self._dependencies.spans):
            for each in span.waits_for:
                yield self._name(at), self._name(each.span), _known(each)

    def _speed_ups(self) -> Iterator[Cells]:
        for each in self._dependencies.speed_ups:
            measured = "" if each.measured_s is None else brief(each.measured_s)
            yield (
                f"{self._name(each.span)} by {each.share:.0%}",
                f"{brief(each.low_s)} to {brief(each.high_s)}",
                measured,
            )

    def _name(self, number: int) -> str:
        """The path of a span, with a number where it has siblings of its name."""
        return " > ".join(self._parts(self._dependencies.spans[number]))

    def _parts(self, span: ProbedSpan) -> Iterator[str]:
        for depth, (name, number) in enumerate(zip(span.path, span.numbers, strict=True), 1):
            second = (span.path[:depth], (*span.numbers[: depth - 1], 1))
            yield f"{name} #{number + 1}" if second in self._known_places else name

    @property
    def _known_places(self) -> "set[tuple[tuple[str, ...], tuple[int, ...]]]":
        return {(each.path, each.numbers) for each in self._dependencies.spans}


def _known(wait: ShownWait) -> str:
    runs = "1 run" if wait.runs == 1 else f"{wait.runs} runs"
    how = f"moved with it in {runs}" if wait.runs else "its task awaited it"
    turn = "; one task, in turn" if wait.order is WaitOrder.IN_TURN else ""
    return f"{how}{turn}"


def _some(names: "list[str]") -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
