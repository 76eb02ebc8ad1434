"""Which models and which data serve a run, and how the run describes them to people.

This module is light: the command line announces the choice before it loads anything heavy.
"""

from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.live_access import LiveAccess, Mode

OFFLINE_QUICK_MODEL: Final = "offline-quick"
OFFLINE_DEEP_MODEL: Final = "offline-deep"


@dataclass(frozen=True, slots=True)
class ModelService:
    """Where the language models are and what they are called."""

    base_url: str | None
    api_key: SecretStr
    quick: str
    deep: str
    provider: str = "openai"


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The models and the data of a run.

    `model` is None for the offline model. `data` is `offline` for the embedded data set, `live` for
    live data, or `auto` for live data with the embedded data set as a fallback. The latencies, in
    seconds, are those of the loopback servers.
    """

    model: ModelService | None = None
    data: Mode = "offline"
    access: LiveAccess = field(default_factory=LiveAccess)
    chat_latency_s: float = 0.8
    fetch_latency_s: float = 0.15
    cache: bool = True
    pool: bool = True

    @property
    def simulated(self) -> bool:
        """Whether any latency of the run is simulated."""
        return self.model is None or self.data == "offline"

    @property
    def announcement(self) -> str:
        """What will serve, in one line."""
        simulated = " · latencies are simulated" if self.simulated else ""
        return f"model: {self.model_label} · data: {self.data_label}{simulated}"

    @property
    def model_label(self) -> str:
        """The models in a few words."""
        if self.model is None:
            return f"offline rules, no language model ({self.chat_latency_s:g} s a call)"
        if self.model.quick == self.model.deep:
            return self.model.quick
        return f"{self.model.quick} and {self.model.deep}"

    @property
    def data_label(self) -> str:
        """The data in a few words."""
        embedded = f"embedded, to {LAST_DAY} ({self.fetch_latency_s:g} s a fetch)"
        if self.data == "offline":
            return embedded
        unset = [
            variable
            for variable, value in (
                ("TRADING_GRAPH_SEC_USER_AGENT", self.access.sec_user_agent),
                ("FRED_API_KEY", self.access.fred_key),
            )
            if value is None
        ]
        live = "live (Yahoo, SEC, FRED, Google News, StockTwits)"
        live += f"; {' and '.join(unset)} not set" if unset else ""
        return live if self.data == "live" else f"{live}; where that fails, {embedded}"
