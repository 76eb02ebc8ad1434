"""The macro tool: economic series as the public knew them on the as-of date."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import NoDataError
from trading_graph.toolkit.market_data import MACRO_SERIES, AsyncToolkit
from trading_graph.toolkit.records import Observation, Series
from trading_graph.toolkit.sources.source import gather_parts
from trading_graph.toolkit.tools.tool import Answer, Arguments, Tool, number, percent, provenance

LABELS: dict[str, str] = {
    "DFEDTARU": "federal funds target, upper limit, %",
    "DGS10": "10-year Treasury yield, %",
    "T10Y2Y": "10-year minus 2-year Treasury yield, %",
    "T10YIE": "10-year breakeven inflation, %",
    "CPIAUCSL": "consumer prices, index",
    "CPILFESL": "consumer prices without food and energy, index",
    "PCEPILFE": "prices of personal consumption without food and energy, index",
    "UNRATE": "unemployment rate, %",
    "PAYEMS": "nonfarm employment, thousands",
    "ICSA": "initial jobless claims, persons",
    "INDPRO": "industrial production, index",
    "RSAFS": "retail sales, USD million",
    "VIX": "expected volatility of the S&P 500, %",
}
if TYPE_CHECKING:
    SeriesName = str
else:  # A type checker cannot read names that stand in a mapping.
    SeriesName = Literal[tuple(LABELS)]

# Of these, people quote the change in a year.
_LEVELS = frozenset(("CPIAUCSL", "CPILFESL", "PCEPILFE", "PAYEMS", "INDPRO", "RSAFS"))
_YEAR_APART = range(358, 374)


class MacroArguments(Arguments):
    """The arguments of get_macro."""

    series: list[SeriesName] = Field(
        default=list(MACRO_SERIES),
        min_length=1,
        max_length=len(LABELS),
        description="Which series; a usual selection by default.",
    )


async def _macro(toolkit: AsyncToolkit, as_of: AsOf, arguments: MacroArguments) -> Answer:
    results, errors = await gather_parts(
        {name: toolkit.macro(name, as_of) for name in dict.fromkeys(arguments.series)}
    )
    if not results:
        raise next(iter(errors.values()), NoDataError("No series was asked for: name one."))
    newest = max(series.observations[-1].date for series in results.values())
    return {
        **provenance(toolkit, None, as_of, min(newest, as_of.session), *results.values()),
        "economy": "United States",
        "series": {name: _summary(series) for name, series in results.items()},
        **({"missing": {name: str(errors[name]) for name in errors}} if errors else {}),
    }


def _summary(series: Series) -> Answer:
    rows = series.observations
    before = _year_before(rows)
    last = rows[-1]
    return {
        "label": LABELS.get(series.name, series.name),
        "latest": [last.date.isoformat(), number(last.value)],
        "previous": [rows[-2].date.isoformat(), number(rows[-2].value)] if len(rows) > 1 else None,
        "year_before": [before.date.isoformat(), number(before.value)] if before else None,
        **(
            {"change_in_a_year_pct": percent(last.value, before.value)}
            if before and series.name in _LEVELS
            else {}
        ),
        **({"revised": "latest revision, not the first value"} if series.revised else {}),
    }


def _year_before(rows: tuple[Observation, ...]) -> Observation | None:
    last = rows[-1].date
    near = [row for row in rows if (last - row.date).days in _YEAR_APART]
    return min(near, key=lambda row: abs((last - row.date).days - 365), default=None)


GET_MACRO = Tool(
    "get_macro",
    "The economy of the United States as it was known on the as-of date: interest rates, "
    "inflation, employment, volatility; each with its latest value, the one before and that of a "
    "year before.",
    MacroArguments,
    _macro,
)
