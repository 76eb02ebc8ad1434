"""Live progress of a portfolio on stderr: a redrawn table on a terminal, elsewhere a line an event.

What is shown of a run comes from its spans as they end, and what is shown of the portfolio from
what was recorded of it.
"""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trading_graph.graph.chat.rate_limits import in_words
from trading_graph.graph.decisions import Decision
from trading_graph.service.portfolio.forecast import Forecast, usage_cost
from trading_graph.service.portfolio.progress import TickerDayProgress, add_usage
from trading_graph.service.portfolio.run_tally import RunTally
from trading_graph.service.portfolio.ticker_day import TickerDay, TickerDayState
from trading_graph.service.settings import Settings

_REFRESH_PER_S = 2
_SHOWN_RUNS = 12
_BAR = 32
_TROUBLE = (TickerDayState.FAILED, TickerDayState.PARKED)


@dataclass(frozen=True, slots=True)
class _Try:
    """A run that is under way."""

    ticker_day: TickerDay
    tally: RunTally
    began: float


class LiveProgress:
    """The ticker-days of a portfolio and how far they are; a `PortfolioListener`."""

    def __init__(
        self,
        console: Console,
        ticker_days: tuple[TickerDayProgress, ...],
        forecast: Forecast | None,
        settings: Settings,
    ) -> None:
        self._console = console
        self._settings = settings
        self._forecast = forecast
        self._progress = {each.ticker_day.run_id: each for each in ticker_days}
        self._running: dict[str, _Try] = {}
        self._began = time.monotonic()
        self._over_here = 0

    @contextmanager
    def show(self) -> Iterator[None]:
        """Redraw the table for the duration of the block, where there is a terminal."""
        self._began = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        with Live(
            get_renderable=self.table,
            console=self._console,
            refresh_per_second=_REFRESH_PER_S,
            transient=True,
        ):
            yield

    def began(self, ticker_day: TickerDay, tally: RunTally) -> None:
        """Show a run that begins."""
        self._running[ticker_day.run_id] = _Try(ticker_day, tally, time.monotonic())

    def changed(self, progress: TickerDayProgress, decision: Decision | None = None) -> None:
        """Note how far a ticker-day is, and print it where there is no table, or trouble."""
        run_id = progress.ticker_day.run_id
        errors = self._progress[run_id].errors
        self._progress[run_id] = progress
        if progress.state is TickerDayState.RUNNING:
            return
        self._running.pop(run_id, None)
        self._over_here += progress.is_final
        if progress.state in _TROUBLE or not self._console.is_terminal:
            outcome = str(progress.state)
            if decision is not None:
                outcome = f"{decision.decision.action} {decision.decision.confidence:.2f}"
            elif progress.state is TickerDayState.WAITING:
                outcome = "to be tried again" if progress.errors > errors else "stopped"
            self._console.print(
                self._line(progress, outcome), highlight=False, markup=False, soft_wrap=True
            )

    def _line(self, progress: TickerDayProgress, outcome: str) -> str:
        over = sum(each.is_final for each in self._progress.values())
        number = f"{over:>{len(str(len(self._progress)))}}/{len(self._progress)}"
        day = progress.ticker_day
        reason = f": {progress.reason}" if progress.reason else ""
        return f"{number}  {day.symbol:<8} {day.date}  {progress.seconds:6.1f} s  {outcome}{reason}"

    def table(self) -> RenderableType:
        """The counts, what is left and spent, and the runs under way."""
        progress = list(self._progress.values())
        counts = Counter(each.state for each in progress)
        over = sum(each.is_final for each in progress)
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=len(progress), completed=over, width=_BAR),
            f"{over}/{len(progress)}",
            self._left(len(progress) - over),
            self._cost(),
        )
        failed = sum(counts[each] for each in _TROUBLE)
        line = Text.assemble(
            (f"{counts[TickerDayState.DONE]} done", "green"),
            f" · {counts[TickerDayState.RUNNING]} running",
            f" · {counts[TickerDayState.WAITING]} waiting · ",
            (f"{failed} failed", "red" if failed else ""),
        )
        runs = Table.grid(padding=(0, 2))
        running = list(self._running.values())
        for each in running[:_SHOWN_RUNS]:
            calls = sum(used.calls for used in each.tally.usage)
            runs.add_row(
                Text("·", "dim"),
                escape(each.ticker_day.symbol),
                str(each.ticker_day.date),
                f"{time.monotonic() - each.began:5.1f} s",
                Text(f"{each.tally.agents} agents, {calls} calls", "cyan"),
            )
        if len(running) > _SHOWN_RUNS:
            runs.add_row("", f"and {len(running) - _SHOWN_RUNS} more")
        return Group(bar, line, runs)

    def _left(self, runs: int) -> str:
        """How long it takes from now: at the pace so far, before that as it was forecast."""
        if not runs:
            return ""
        if self._over_here:
            seconds = (time.monotonic() - self._began) / self._over_here * runs
        elif self._forecast is not None and self._forecast.seconds is not None:
            seconds = self._forecast.seconds - (time.monotonic() - self._began)
        else:
            return "time left: unknown"
        return f"{in_words(max(1.0, seconds))} left"

    def _cost(self) -> str:
        """What has been spent so far, also by runs under way."""
        usage = add_usage(
            used
            for each in (
                *(progress.usage for progress in self._progress.values()),
                *(running.tally.usage for running in list(self._running.values())),
            )
            for used in each
        )
        cost = usage_cost(usage, self._settings)
        return "cost unknown" if cost is None else f"${cost:.2f} so far"
