"""Which model and which data serve: decided here, from settings and flags, and nowhere else."""

from datetime import date

from pydantic import SecretStr

from trading_graph.graph.backend_choice import BackendChoice, ModelService
from trading_graph.service.settings import Settings
from trading_graph.toolkit.live_access import BaseUrls, LiveAccess
from trading_graph.toolkit.records import Mode

EMBEDDED_DATE = "2025-11-14"
"""The last day of the embedded data set."""


def backend_choice(
    settings: Settings,
    *,
    offline: bool,
    own_model: bool = True,
    data: Mode | None = None,
    cache: bool = True,
    pool: bool = True,
) -> BackendChoice:
    """A real model where a key or a base URL is set and `offline` is not asked for.

    Embedded data unless live data is asked for, by flag or setting; the offline model also where
    `own_model` is not wanted.
    """
    return BackendChoice(
        model=_model(settings) if own_model and not offline else None,
        data="offline" if offline else data or settings.data,
        access=LiveAccess(
            BaseUrls.with_changes(settings.live_urls), settings.sec_user_agent, settings.fred_key
        ),
        chat_latency_s=settings.chat_latency_s,
        fetch_latency_s=settings.fetch_latency_s,
        cache=cache,
        pool=pool,
    )


def _model(settings: Settings) -> ModelService | None:
    if settings.openai_api_key is None and settings.openai_base_url is None:
        return None
    return ModelService(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key or SecretStr("none"),
        quick=settings.quick_model,
        deep=settings.deep_model,
    )


def default_date(data: Mode) -> str:
    """The day that is analysed when none is named."""
    return EMBEDDED_DATE if data == "offline" else date.today().isoformat()
