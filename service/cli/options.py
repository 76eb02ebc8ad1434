"""The options that several commands have in common: which model, which data, where, and JSON."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, not text."
)
data_option = click.option(
    "--data",
    type=click.Choice(["offline", "live", "auto"]),
    help="Where market data comes from; `auto` takes embedded data where live fails, and says "
    "so. Default: TRADING_GRAPH_DATA, else offline.",
)
offline_option = click.option(
    "--offline", is_flag=True, help="Offline model and embedded data, whatever is set."
)
database_option = click.option(
    "--database",
    metavar="URL",
    help="What workers share: postgresql://... Default: TRADING_GRAPH_DATABASE_URL, else a file in "
    "the folder of portfolios, for one worker.",
)


def out_option(what: str) -> Callable[[_Decorated], _Decorated]:
    """The folder of runs; `what` says what is done there."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help=f"{what} Default: TRADING_GRAPH_OUT, else runs.",
    )
