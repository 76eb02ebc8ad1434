"""What is needed to ask the live sources: where they are, who asks, and the keys."""

from dataclasses import dataclass

from pydantic import SecretStr

from toolkit.sources.base_urls import REAL, BaseUrls


@dataclass(frozen=True, slots=True)
class LiveAccess:
    """Addresses, the User-Agent for SEC (a name and an e-mail address), and FRED's key.

    Without one of the last two its source refuses, and says how to get it.
    """

    urls: BaseUrls = REAL
    sec_user_agent: str | None = None
    fred_key: SecretStr | None = None
