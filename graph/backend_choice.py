"""Which models and which data serve a run, and how the run describes them to people.

This module is light: the command line announces the choice before it loads anything heavy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from trading_graph.graph.chat.capabilities import Override
from trading_graph.toolkit.dataset import LAST_DAY
from trading_graph.toolkit.live_access import LiveAccess, Mode

OFFLINE_QUICK_MODEL: Final = "offline-quick"
OFFLINE_DEEP_MODEL: Final = "offline-deep"

OPENAI_URL: Final = "https://api.openai.com/v1"

_OFFLINE_LABEL = "offline rules, no language model"
_BETWEEN_NAMES = " and "

_ENDPOINTS = ("/chat/completions", "/completions", "/responses", "/models")


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a service may be silent, in seconds; keep-alives and reasoning are no silence.

    `first_byte_s` limits the wait for an answer's first byte, and starts anew while the service
    sends something to another request; `between_bytes_s` limits the wait between two bytes.
    """

    first_byte_s: float = 180.0
    between_bytes_s: float = 120.0


@dataclass(frozen=True, slots=True)
class ModelService:
    """Where the language models are, what they are called, and what the settings say of them.

    `overrides` are by the model's name, or by a pattern with `*`. `memory` is where what is learned
    of the models is kept, if anywhere. `is_ours` marks the offline model, of which there is nothing
    to learn. The limits a minute are by model; `*` stands for every model that is not named.
    """

    base_url: str | None
    api_key: SecretStr
    quick: str
    deep: str
    provider: str = "openai"
    limits: TimeLimits = TimeLimits()
    overrides: Mapping[str, Override] = field(default_factory=dict)
    memory: Path | None = None
    is_ours: bool = False
    requests_per_minute: Mapping[str, int] = field(default_factory=dict, compare=False)
    tokens_per_minute: Mapping[str, int] = field(default_factory=dict, compare=False)

    @property
    def address(self) -> str:
        """The base address that is asked: without an endpoint, and with `/v1` for a bare host."""
        url = (self.base_url or OPENAI_URL).rstrip("/")
        for endpoint in _ENDPOINTS:
            url = url.removesuffix(endpoint).rstrip("/")
        return url if urlsplit(url).path else f"{url}/v1"

    @property
    def fixed(self) -> frozenset[str]:
        """The fields of `Capabilities` that nothing can change: an address with a path stays."""
        path = urlsplit(self.base_url or OPENAI_URL).path.rstrip("/")
        bare = path in ("", *_ENDPOINTS)
        return frozenset() if bare else frozenset(("version_path",))


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """The models and the data of a run.

    `model` is None for the offline model. `data` is `offline` for the embedded data set, `live` for
    live data, or `auto` for live data with the embedded data set as a fallback. The latencies, in
    seconds, are those of the loopback servers; the limits a minute are those of the offline model.
    In `cache_file` market data outlives the process; without one, or without the `cache`, it does
    not.
    """

    model: ModelService | None = None
    data: Mode = "offline"
    access: LiveAccess = field(default_factory=LiveAccess)
    chat_latency_s: float = 0.8
    fetch_latency_s: float = 0.15
    cache: bool = True
    pool: bool = True
    offline_requests_per_minute: int | None = None
    offline_tokens_per_minute: int | None = None
    cache_file: Path | None = None

    @property
    def simulated(self) -> bool:
        """Whether any latency of the run is simulated."""
        return self.model is None or self.data == "offline"

    @property
    def announcement(self) -> str:
        """What will serve, in one line."""
        simulated = " · latencies are simulated" if self.simulated else ""
        return f"model: {self.model_label} · data: {self.data_label}{simulated}"

    def old_data(self, today: date) -> str | None:
        """One line that says how old the data is, where a real model decides on embedded data."""
        if self.model is None or self.data != "offline":
            return None
        days = (today - date.fromisoformat(LAST_DAY)).days
        return (
            f"The embedded data ends on {LAST_DAY}, {days} days ago: a real model costs money and "
            "decides on old prices; --data live asks for today's."
        )

    @property
    def model_label(self) -> str:
        """The models in a few words."""
        if self.model is None:
            return f"{_OFFLINE_LABEL} ({self.chat_latency_s:g} s a call)"
        if self.model.quick == self.model.deep:
            return self.model.quick
        return f"{self.model.quick}{_BETWEEN_NAMES}{self.model.deep}"

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


def models_in(label: str) -> tuple[str, ...]:
    """The names in the `model_label` of a choice; none for the offline model."""
    return () if label.startswith(_OFFLINE_LABEL) else tuple(label.split(_BETWEEN_NAMES))
