"""The options of `trading-graph run`."""

from collections.abc import Callable
from typing import Any

import click

ANALYSTS = ("market", "social", "news", "fundamentals")


class AnalystList(click.ParamType[tuple[str, ...]]):
    """A comma-separated selection of analysts, in the order of the graph."""

    name = "names"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split and check the names."""
        if isinstance(value, tuple):
            return value
        asked = {name.strip() for name in str(value).split(",") if name.strip()}
        unknown = sorted(asked - set(ANALYSTS))
        if unknown or not asked:
            self.fail(
                f"{', '.join(unknown) or 'an empty list'} is not an analyst; choose from "
                f"{', '.join(ANALYSTS)}.",
                param,
                ctx,
            )
        return tuple(name for name in ANALYSTS if name in asked)


_OPTIONS = (
    click.option(
        "--date",
        metavar="YYYY-MM-DD",
        help="Analyse as of this day. Default: 2025-11-14 with embedded data, else today.",
    ),
    click.option(
        "--analysts",
        type=AnalystList(),
        default=ANALYSTS,
        show_default="all",
        help=f"Which of {','.join(ANALYSTS)} to ask.",
    ),
    click.option(
        "--offline", is_flag=True, help="Offline model and embedded data, whatever is set."
    ),
    click.option(
        "--data",
        type=click.Choice(["offline", "live", "auto"]),
        help="Where market data comes from; `auto` takes embedded data where live fails, and says "
        "so. Default: TRADING_GRAPH_DATA, else offline.",
    ),
    click.option(
        "--analyst-turns",
        type=click.IntRange(2, 8),
        default=2,
        show_default=True,
        help="LLM turns of an analyst; in the last the tools are withheld.",
    ),
    click.option(
        "--debate",
        type=click.Choice(["parallel", "serial"]),
        default="parallel",
        show_default=True,
        help="Both sides of a round at once, or taking turns.",
    ),
    click.option(
        "--debate-rounds",
        type=click.IntRange(1, 5),
        default=1,
        show_default=True,
        help="Rounds of bull and bear.",
    ),
    click.option(
        "--risk-rounds",
        type=click.IntRange(1, 5),
        default=1,
        show_default=True,
        help="Rounds of the risk team.",
    ),
    click.option(
        "--agent-budget",
        type=click.FloatRange(1, 3600),
        default=90.0,
        show_default=True,
        metavar="SECONDS",
        help="Total time of one agent, its retries included.",
    ),
    click.option(
        "--max-seconds",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Budget of the whole run: then no more is asked, and the decision is a marked HOLD. "
        "Default: TRADING_GRAPH_MAX_SECONDS, else none.",
    ),
    click.option(
        "--max-calls",
        type=click.IntRange(min=1),
        metavar="N",
        help="Budget of LLM calls, each retry counted; ends likewise. Default: "
        "TRADING_GRAPH_MAX_CALLS, else none.",
    ),
    click.option(
        "--max-tokens",
        type=click.IntRange(min=1),
        metavar="N",
        help="Budget of tokens, in and out; calls under way may exceed it. Default: "
        "TRADING_GRAPH_MAX_TOKENS, else none.",
    ),
    click.option(
        "--dispatch",
        type=click.Choice(["parallel", "sequential"]),
        default="parallel",
        show_default=True,
        help="`sequential` visits one agent after the other, on purpose.",
    ),
    click.option(
        "--tools",
        type=click.Choice(["parallel", "sequential"]),
        default="parallel",
        show_default=True,
        help="`sequential` runs one tool call after the other, on purpose.",
    ),
    click.option(
        "--prefetch",
        is_flag=True,
        help="Fetch what the analysts will ask for while they are in their first turn.",
    ),
    click.option("--no-cache", is_flag=True, help="Fetch everything every time, on purpose."),
    click.option(
        "--no-pool", is_flag=True, help="Open a connection for every request, on purpose."
    ),
    click.option(
        "--out",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Where the run's folder is made. Default: TRADING_GRAPH_OUT, else runs.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text."),
)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a run, in the order of `--help`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
