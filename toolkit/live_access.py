"""How the live sources are reached: their addresses, who asks, and the keys.

How often each may be asked is in `rate_limits`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from trading_graph.toolkit.errors import BadRequestError

DataMode = Literal["live", "offline"]
"""What an answer is made of."""

Mode = Literal["live", "offline", "auto"]
"""What a run asks for; with `auto` embedded data may replace live data, and says so."""


@dataclass(frozen=True, slots=True)
class BaseUrls:
    """The base URL of each live source, without a trailing slash.

    `yahoo` stands for all of Yahoo's hosts: any other address than the real one replaces them all.
    """

    yahoo: str = "https://query2.finance.yahoo.com"
    sec_data: str = "https://data.sec.gov"
    sec_files: str = "https://www.sec.gov"
    fred: str = "https://api.stlouisfed.org"
    google_news: str = "https://news.google.com"
    stocktwits: str = "https://api.stocktwits.com"

    @classmethod
    def with_changes(cls, changes: Mapping[str, str]) -> Self:
        """The real addresses with some replaced; BadRequestError for a bad name or URL."""
        names = [field.name for field in fields(cls)]
        for name, url in changes.items():
            if name not in names:
                raise BadRequestError(f"It names an unknown live source: use {', '.join(names)}.")
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise BadRequestError(
                    f"The address of {name} is not an http URL: begin it with http:// or https://."
                )
        return cls(**{name: url.rstrip("/") for name, url in changes.items()})


REAL_URLS = BaseUrls()


@dataclass(frozen=True, slots=True)
class LiveAccess:
    """Addresses, the User-Agent for SEC (a name and an e-mail address), and FRED's key.

    Without its User-Agent or key, a source refuses and says how to get one.
    """

    urls: BaseUrls = REAL_URLS
    sec_user_agent: str | None = None
    fred_key: SecretStr | None = None
