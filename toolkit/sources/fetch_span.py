"""The span around one request to a source, as all sources open it."""

from contextlib import AbstractContextManager

from opentelemetry.trace import Span

from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.records import DataMode


def fetch_span(
    source: str,
    data_mode: DataMode,
    *,
    symbol: str | None = None,
    as_of: AsOf | None = None,
    **params: str,
) -> AbstractContextManager[Span]:
    """Open `fetch {source}`; `params` is what else tells the request from others."""
    return spans.fetch(
        source,
        symbol=symbol,
        as_of=None if as_of is None else str(as_of),
        params=params,
        attributes={semconv.DATA_MODE: data_mode},
    )
