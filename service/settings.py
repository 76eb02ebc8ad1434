"""Settings from the environment and `.env`, and the model and the data that they choose.

Our own variables start with TRADING_GRAPH_. The OpenTelemetry SDK itself reads `OTEL_*`, and
LangSmith's reads `LANGSMITH_*`.
"""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_origin
from urllib.parse import unquote, urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict, exceptions

from trading_graph.graph.backend_choice import BackendChoice, ModelService, TimeLimits
from trading_graph.graph.chat.capabilities import Api, Forcing, Override
from trading_graph.graph.chat.memory import default_path
from trading_graph.graph.chat.prices import Price, shipped_price
from trading_graph.graph.options import Budget
from trading_graph.otel.redaction import Redactor, process_redactor
from trading_graph.service.errors import SettingsError
from trading_graph.service.log import LogForm
from trading_graph.service.server.base_path import parse_base_path
from trading_graph.toolkit.errors import BadRequestError
from trading_graph.toolkit.live_access import BaseUrls, LiveAccess, Mode

_PREFIX = "TRADING_GRAPH_"
_SHAPES: Mapping[object, str] = {tuple: '["...", "..."]', dict: '{"...": ...}'}

_Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Prices = tuple[_Dollars, _Dollars] | tuple[_Dollars, _Dollars, _Dollars]


class ModelOverride(BaseModel):
    """What the settings say of a model; see `Override`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    api: Api | None = None
    forcing: Forcing | None = None
    reasoning_effort: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)

    @property
    def override(self) -> Override:
        """The same as plain data."""
        return Override(self.api, self.forcing, self.reasoning_effort, self.temperature)


class Settings(BaseSettings):
    """Everything that can be configured; see docs/settings.md."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_file=".env",
        # An empty variable is an unset one, as compose files write it.
        env_ignore_empty=True,
        extra="ignore",
        populate_by_name=True,
    )

    openai_api_key: SecretStr | None = Field(None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(
        None, validation_alias=AliasChoices("OPENAI_BASE_URL", "OPENAI_API_BASE")
    )
    langsmith_api_key: SecretStr | None = Field(None, validation_alias="LANGSMITH_API_KEY")
    langsmith_url: str = Field(
        "https://api.smith.langchain.com",
        validation_alias=AliasChoices("LANGSMITH_ENDPOINT", "LANGCHAIN_ENDPOINT"),
    )
    langsmith_tracing: bool = Field(False, validation_alias="LANGSMITH_TRACING")
    langsmith_project: str = Field(
        "default", validation_alias=AliasChoices("LANGSMITH_PROJECT", "LANGCHAIN_PROJECT")
    )
    langsmith: Literal["otlp"] | None = Field(
        None, description="`otlp` sends our spans to LangSmith, in the place of its own run tree."
    )

    quick_model: str = "gpt-5-mini"
    deep_model: str = "gpt-5"
    models: dict[str, ModelOverride] = Field(
        default={},
        description="What is sent to a model, by its name or a pattern with `*`: `api`, `forcing`, "
        "`reasoning_effort`, `temperature`.",
    )
    model_first_byte_s: float = Field(
        180.0, gt=0, description="How long a model's service may be silent before it answers."
    )
    model_between_bytes_s: float = Field(
        120.0, gt=0, description="How long it may be silent in the middle of an answer."
    )
    model_memory: Path | None = Field(
        default_factory=default_path,
        description="What was learned of models; default: in the user's cache folder.",
    )
    prices: dict[str, _Prices] = Field(
        default={},
        description="US dollars for a million input, output and cached input tokens, by model.",
    )
    requests_per_minute: dict[str, PositiveInt] = Field(
        default={}, description="To each model, `*` for any other, from all runs of the process."
    )
    tokens_per_minute: dict[str, PositiveInt] = Field(
        default={}, description="The same in tokens, in and out."
    )
    data: Literal["offline", "live", "auto"] = "offline"
    sec_user_agent: str | None = Field(
        None, description="Name and e-mail address, as SEC EDGAR asks of all who ask it."
    )
    fred_key: SecretStr | None = Field(None, validation_alias="FRED_API_KEY")
    live_urls: dict[str, str] = Field(
        default={}, description="Other addresses for live sources, by name of `BaseUrls`."
    )
    cache_file: Path | None = Field(
        Path("cache/market_data.sqlite"), description="Where market data is kept; `none`: nowhere."
    )
    chat_latency_s: float = Field(0.8, ge=0, description="Of the offline model, a call.")
    fetch_latency_s: float = Field(0.15, ge=0, description="Of the embedded data, an answer.")
    max_seconds: float | None = Field(None, gt=0, description="Budget of a run.")
    max_calls: int | None = Field(None, ge=1, description="Budget of a run, in LLM calls.")
    max_tokens: int | None = Field(None, ge=1, description="Budget of a run, in and out.")
    out: Path = Path("runs")
    portfolios: Path = Field(Path("portfolios"), description="Where portfolios are kept.")
    portfolio_at_once: int = Field(8, ge=1, le=256, description="Runs of a portfolio at once.")
    portfolio_ask_usd: float = Field(
        5.0, ge=0, description="A portfolio that costs more asks before it starts."
    )
    portfolio_ask_calls: int = Field(
        200, ge=0, description="So does one of more calls whose cost is not known."
    )
    portfolio_cost_bps: float = Field(
        5.0, ge=0, description="Costs of a trade in a back-test, in basis points a side."
    )
    portfolio_cap_pct: float | None = Field(
        None, gt=0, le=100, description="The most of an account that one position may have."
    )
    database_url: SecretStr | None = Field(
        None,
        description="What workers share: `postgresql://...`; default: one SQLite file, for one "
        "worker.",
    )
    decisions: Path | None = Field(
        None, description="The decision logs; default: `decisions` beside the runs' folder."
    )
    log_file: Path = Path("logs/trading_graph.log")
    spool: Path = Field(Path("logs/spool"), description="Spans that a backend did not take.")
    jaeger_url: str = "http://localhost:16686"
    jaeger_page: str | None = Field(
        None, description="Where people find Jaeger, if not at the address that we ask."
    )

    serve_hosts: tuple[str, ...] = Field((), description="Further names the service goes by.")
    serve_proxies: tuple[str, ...] = Field(
        (), description="Addresses or networks of proxies whose `X-Forwarded-*` is believed."
    )
    serve_base_path: str = Field(
        "", description="Where a proxy puts the service below its host, such as `/trading`."
    )
    serve_log: LogForm | None = Field(
        None, description="The log on stderr too, as `text` or `json`; the file is always written."
    )
    serve_runs_at_once: int = Field(4, ge=1, le=64)
    serve_runs_in_line: int = Field(100, ge=0, le=10_000)
    serve_portfolios_in_line: int = Field(
        20, ge=0, le=1_000, description="Portfolios that may wait; one is worked on at a time."
    )
    serve_ticker_days: int = Field(
        5_000, ge=1, le=100_000, description="The most analyses of a portfolio over HTTP."
    )
    serve_requests_per_s: float = Field(50, gt=0, description="Of one client.")
    serve_burst: int = Field(200, ge=1)
    serve_connections: int = Field(1_000, ge=1, description="Of one client, at once.")
    serve_streams: int = Field(256, ge=1, description="That one client follows at once.")
    serve_upload_mib: int = Field(64, ge=1, le=1024)
    serve_drain_s: float = Field(30, ge=0, description="For runs to end when the service stops.")
    serve_keep_days: float = Field(
        30, gt=0, description="How long runs, portfolios and verdicts are kept."
    )
    serve_keep_gib: float | None = Field(
        None,
        gt=0,
        description="Disk that runs and portfolios may take; past it the oldest ended go.",
    )
    serve_free_mib: int = Field(
        256, ge=0, description="Free space on the disk of the runs, below which none begins."
    )
    serve_watch: tuple[str, ...] = Field((), description="Services whose traces are judged.")
    serve_settle_s: float = Field(
        0.5, gt=0, description="A received trace is judged when it was quiet for so long."
    )
    serve_received_mib: int = Field(
        1024, ge=1, description="The most that the files of received traces may take."
    )
    serve_received_traces: int = Field(10_000, ge=1, description="The most that are kept.")
    serve_forward_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        description="Where received spans are sent on to, over OTLP/HTTP.",
    )
    serve_token_sha256: tuple[str, ...] = Field((), description="Digests of tokens that may ask.")

    @property
    def budget(self) -> Budget:
        """The budget of a run that has none of its own."""
        return Budget(self.max_seconds, self.max_calls, self.max_tokens)

    @property
    def shown_jaeger(self) -> str:
        """Where people find Jaeger, without a user, a password or a last slash."""
        parts = urlsplit(self.jaeger_page or self.jaeger_url)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        return shown.geturl().rstrip("/")

    @property
    def secrets(self) -> list[str]:
        """Values that must not be written or sent anywhere, beside those of the environment."""
        keys = (self.openai_api_key, self.langsmith_api_key, self.fred_key)
        secrets = [key.get_secret_value() for key in keys if key is not None]
        if self.database_url is not None:
            password = urlsplit(self.database_url.get_secret_value()).password
            secrets += [unquote(password)] if password else []
        return secrets

    @property
    def redactor(self) -> Redactor:
        """A redactor that knows these secrets and those of the environment."""
        return process_redactor(self.secrets)

    @field_validator("cache_file", mode="before")
    @classmethod
    def _is_a_file_or_none(cls, path: object) -> object:
        return None if path == "none" else path

    @field_validator("live_urls")
    @classmethod
    def _is_of_live_sources(cls, changed: dict[str, str]) -> dict[str, str]:
        try:
            BaseUrls.with_changes(changed)
        except BadRequestError as error:
            reason = str(error).rstrip(".")
            raise ValueError(reason[:1].lower() + reason[1:]) from None
        return changed

    @field_validator("serve_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for each in proxies:
            ipaddress.ip_network(each)  # its ValueError says what is wrong
        return proxies

    @field_validator("serve_base_path")
    @classmethod
    def _is_a_path(cls, path: str) -> str:
        return parse_base_path(path)

    @field_validator("serve_token_sha256")
    @classmethod
    def _are_digests(cls, digests: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[0-9a-f]{64}", each) for each in digests):
            raise ValueError("is no SHA-256; trading-graph serve --new-token makes one")
        return digests

    @field_validator("openai_base_url")
    @classmethod
    def _can_be_asked(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        # LangChain passes the address on to its tracers.
        if parts.username or parts.query:
            raise ValueError("holds a user or a query; a key belongs into OPENAI_API_KEY")
        # Reading the port raises ValueError if it is no number.
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("is no address of a service; give one as https://HOST:PORT/v1")
        return url

    def price(self, model: str) -> Price | None:
        """The price of a model's tokens at the service that the settings name, if it is known."""
        own = self.prices.get(model)
        return shipped_price(self.openai_base_url, model) if own is None else Price(*own)


def read_settings() -> Settings:
    """The settings of this process; raises SettingsError.

    The message never repeats a value, which may be a secret in the wrong place.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            f"{_variable(str(each['loc'][0]))}: {_lower_first(each['msg'])}"
            for each in error.errors(include_input=False, include_url=False)
        )
        raise SettingsError(f"A setting cannot be used: {wrong}; see docs/settings.md.") from None
    except exceptions.SettingsError as error:
        field = re.search(r'field "(\w+)"', str(error))
        name = _variable(field[1]) if field else "A setting"
        shape = _json_shape(field[1] if field else "")
        raise SettingsError(f"{name} is not JSON{shape}; see docs/settings.md.") from None


def _json_shape(field: str) -> str:
    """What the JSON of a setting looks like; empty where that is not known."""
    info = Settings.model_fields.get(field)
    shape = _SHAPES.get(get_origin(info.annotation)) if info else None
    return f" such as '{shape}'" if shape else ""


def _variable(field: str) -> str:
    return _PREFIX + field.upper() if field in Settings.model_fields else field


def _lower_first(message: str) -> str:
    message = message.removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def backend_choice(
    settings: Settings,
    *,
    offline: bool,
    own_model: bool = True,
    data: Mode | None = None,
    cache: bool = True,
    pool: bool = True,
) -> BackendChoice:
    """The model and the data that serve a run.

    A real model serves when a key or a base URL is set, unless `offline` is true or `own_model` is
    false. Embedded data serves unless a flag or a setting asks for live data. Live data is cached
    in the settings' file; embedded data is not, so that a run on it has something to fetch.
    """
    mode: Mode = "offline" if offline else data or settings.data
    return BackendChoice(
        model=_model(settings) if own_model and not offline else None,
        data=mode,
        access=LiveAccess(
            BaseUrls.with_changes(settings.live_urls), settings.sec_user_agent, settings.fred_key
        ),
        chat_latency_s=settings.chat_latency_s,
        fetch_latency_s=settings.fetch_latency_s,
        cache=cache,
        pool=pool,
        cache_file=None if mode == "offline" else settings.cache_file,
    )


def _model(settings: Settings) -> ModelService | None:
    if settings.openai_api_key is None and settings.openai_base_url is None:
        return None
    return ModelService(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key or SecretStr("none"),
        quick=settings.quick_model,
        deep=settings.deep_model,
        limits=TimeLimits(settings.model_first_byte_s, settings.model_between_bytes_s),
        overrides={name: each.override for name, each in settings.models.items()},
        memory=settings.model_memory,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )
