"""What LangSmith gets: nothing, a run tree that its own client records, or our spans.

Never two of them: it would show every run twice. Its client can also make OpenTelemetry spans;
those would stand among ours as a second copy of the run, with prompts and completions on them, and
go where ours go, so that is refused.
"""

from enum import StrEnum

from langsmith.utils import get_env_var, is_env_var_truish, tracing_is_enabled

from trading_graph.otel.export import LangSmithTarget
from trading_graph.service.errors import BadSettings
from trading_graph.service.settings import Settings

_NATIVE = "langsmith"


class LangSmithMode(StrEnum):
    """What LangSmith gets."""

    OFF = "off"
    NATIVE = "native"
    OTLP = "otlp"


def langsmith_mode(settings: Settings, *, offline: bool) -> LangSmithMode:
    """What the LANGSMITH_* variables and our own ask for; raises BadSettings."""
    if offline:
        return LangSmithMode.OFF
    native = tracing_is_enabled()
    if native and (other := _other_mode()):
        raise BadSettings(
            f"{other} would send prompts and a second copy of every run to Jaeger, "
            "among the spans that are judged; unset it, or set LANGSMITH_TRACING=false."
        )
    if settings.langsmith is None:
        return LangSmithMode.NATIVE if native else LangSmithMode.OFF
    if native:
        raise BadSettings(
            "TRADING_GRAPH_LANGSMITH=otlp and LANGSMITH_TRACING=true would send every run to "
            "LangSmith twice; unset one of them."
        )
    return LangSmithMode.OTLP


def langsmith_target(settings: Settings, mode: LangSmithMode) -> LangSmithTarget | None:
    """Where our spans go in LangSmith, in mode `otlp`; raises BadSettings."""
    if mode is not LangSmithMode.OTLP:
        return None
    if settings.langsmith_api_key is None:
        raise BadSettings("TRADING_GRAPH_LANGSMITH=otlp needs LANGSMITH_API_KEY; set it.")
    key = settings.langsmith_api_key.get_secret_value()
    return LangSmithTarget(settings.langsmith_url, key, settings.langsmith_project)


def _other_mode() -> str | None:
    """The variable that asks for a mode other than its own run tree; the new one outranks."""
    mode = get_env_var("TRACING_MODE")
    if mode is not None:
        return None if mode.lower() == _NATIVE else f"LANGSMITH_TRACING_MODE={mode}"
    older = ("OTEL_ONLY", "OTEL_ENABLED")
    return next((f"LANGSMITH_{name}=true" for name in older if is_env_var_truish(name)), None)
