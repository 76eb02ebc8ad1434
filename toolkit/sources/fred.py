"""Economic series from FRED, as they were published on the as-of date (ALFRED vintages).

Without `realtime_start` and `realtime_end` FRED gives today's revisions, and months that were not
yet published. The key is a query parameter: it reaches no span, log or message.
"""

import datetime

import msgspec
from pydantic import SecretStr
from yarl import URL

from trading_graph.otel.trace import semconv
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import (
    DataError,
    HttpStatusError,
    NoDataError,
    SourceUnavailableError,
)
from trading_graph.toolkit.live_access import BaseUrls, DataMode
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.records import Observation, Series
from trading_graph.toolkit.sources.source import fetch_span

_NAMES = {"VIX": "VIXCLS"}
"""Series that have another name at FRED."""

_LOOK_BACK = datetime.timedelta(days=3 * 366)


class _Row(msgspec.Struct, frozen=True):
    date: datetime.date
    value: str
    realtime_start: datetime.date


class _Observations(msgspec.Struct, frozen=True):
    observations: list[_Row]


class Fred:
    """A MacroSource: about three years of a series with one request.

    `key` is FRED's API key; without one every call is SourceUnavailableError.
    """

    name = "FRED"
    data_mode: DataMode = "live"

    def __init__(self, pool: HttpPool, urls: BaseUrls, key: SecretStr | None) -> None:
        self._pool = pool
        self._url = URL(f"{urls.fred}/fred/series/observations")
        self._key = key

    async def macro(self, series: str, as_of: AsOf) -> Series:
        """The series as FRED gave it on the as-of date."""
        if self._key is None:
            raise SourceUnavailableError(
                f"{self.name} asks for a key, which is free: set FRED_API_KEY."
            )
        params = {
            "series_id": _NAMES.get(series, series),
            "file_type": "json",
            "observation_start": (as_of.date - _LOOK_BACK).isoformat(),
            "realtime_start": str(as_of),
            "realtime_end": str(as_of),
            "api_key": self._key.get_secret_value(),
        }
        with fetch_span("fred", self.data_mode, symbol=series, as_of=as_of) as span:
            try:
                answer: _Observations = await self._pool.get_json(
                    self._url, _Observations, source=self.name, params=params
                )
            except HttpStatusError as refusal:
                raise self._explain(refusal, series, as_of) from None
            # A server that ignores the vintage shows it in `realtime_start`: the filter acts.
            rows = tuple(
                Observation(row.date, float(row.value), row.realtime_start)
                for row in answer.observations
                if _is_number(row.value)
            )
            span.set_attribute(semconv.ROWS, len(rows))
        return Series(series, False, rows)

    def _explain(self, refusal: HttpStatusError, series: str, as_of: AsOf) -> DataError:
        if refusal.status != 400:
            return refusal
        if b"api_key" in refusal.body:
            return SourceUnavailableError(f"{self.name} does not take the key: check FRED_API_KEY.")
        return NoDataError(
            f"{self.name} has no series {series[:40]} as of {as_of}: check its name and the date."
        )


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
