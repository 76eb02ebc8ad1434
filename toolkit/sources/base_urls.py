"""Where the live sources are: their real addresses, or other places that speak the same formats."""

from dataclasses import dataclass, fields
from typing import Self
from urllib.parse import urlsplit

from trading_graph.toolkit.errors import BadRequest


@dataclass(frozen=True, slots=True)
class BaseUrls:
    """The base URL of each live source, without a trailing slash.

    `yahoo` stands for every host of Yahoo's: an address other than the real one gets all of them.
    """

    yahoo: str = "https://query2.finance.yahoo.com"
    sec_data: str = "https://data.sec.gov"
    sec_files: str = "https://www.sec.gov"
    fred: str = "https://api.stlouisfed.org"
    google_news: str = "https://news.google.com"
    stocktwits: str = "https://api.stocktwits.com"

    @classmethod
    def with_changes(cls, changed: dict[str, str]) -> Self:
        """The real addresses but for those changed; BadRequest for a name or URL that is none."""
        names = [field.name for field in fields(cls)]
        for name, url in changed.items():
            if name not in names:
                raise BadRequest(f"It names a live source that is none: use {', '.join(names)}.")
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise BadRequest(
                    f"The address of {name} is no http URL: begin it with http:// or https://."
                )
        return cls(**{name: url.rstrip("/") for name, url in changed.items()})


REAL = BaseUrls()
