"""What is needed to ask the live sources: where they are, who asks, the keys, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from trading_graph.toolkit.host_policy import HostPolicy
from trading_graph.toolkit.sources.base_urls import REAL, BaseUrls

HOST_POLICIES: Mapping[str, HostPolicy] = {
    "query1.finance.yahoo.com": HostPolicy(requests_per_s=5, rate_group="yahoo"),
    "query2.finance.yahoo.com": HostPolicy(requests_per_s=5, rate_group="yahoo"),
    "fc.yahoo.com": HostPolicy(requests_per_s=5, rate_group="yahoo"),
    "data.sec.gov": HostPolicy(requests_per_s=8, burst=2, rate_group="sec"),
    "www.sec.gov": HostPolicy(requests_per_s=8, burst=2, rate_group="sec"),
    "api.stlouisfed.org": HostPolicy(requests_per_s=2, burst=20),
    "news.google.com": HostPolicy(requests_per_s=1, burst=5),
    "api.stocktwits.com": HostPolicy(requests_per_s=200 / 3600, burst=10),
}
"""The rules of the live sources' hosts: what their terms allow, or less where they have none."""


@dataclass(frozen=True, slots=True)
class LiveAccess:
    """Addresses, the User-Agent for SEC (a name and an e-mail address), and FRED's key.

    Without one of the last two its source refuses, and says how to get it.
    """

    urls: BaseUrls = REAL
    sec_user_agent: str | None = None
    fred_key: SecretStr | None = None
