"""Which models and which data serve a run, and how that is said to people.

Light to import: the command line announces the choice before it loads anything heavy.
"""

from dataclasses import dataclass, field

from trading_graph.graph.models import ModelService
from trading_graph.toolkit.live_access import LiveAccess
from trading_graph.toolkit.records import Mode

QUICK_OFFLINE, DEEP_OFFLINE = "offline-quick", "offline-deep"


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """Which models and which data serve.

    `model` is None for the offline model; `data` is `offline` for the embedded data set, `auto` for
    live data with the embedded in its place where that fails. The latencies are those of the
    loopback servers, in seconds.
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
        """Whether any latency of the run is made up."""
        return self.model is None or self.data == "offline"

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
        embedded = f"embedded, to 2025-11-14 ({self.fetch_latency_s:g} s a fetch)"
        if self.data == "offline":
            return embedded
        lacking = [
            variable
            for variable, value in (
                ("TRADING_GRAPH_SEC_USER_AGENT", self.access.sec_user_agent),
                ("FRED_API_KEY", self.access.fred_key),
            )
            if value is None
        ]
        live = "live (Yahoo, SEC, FRED, Google News, StockTwits)"
        live += f"; {' and '.join(lacking)} not set" if lacking else ""
        return live if self.data == "live" else f"{live}; where that fails, {embedded}"
