"""What LangSmith gets: nothing, a run tree that its own client records, or our spans.

Never two of them, since LangSmith would show every run twice. Its client can also make
OpenTelemetry spans. That mode is refused: those spans would be a second copy of the run among ours,
with prompts and completions, and would go wherever ours go.
"""

import os
from enum import StrEnum
from typing import TYPE_CHECKING

from trading_graph.service.errors import SettingsError
from trading_graph.service.lazy_import import load
from trading_graph.service.settings import Settings

if TYPE_CHECKING:
    from trading_graph.otel.export import LangSmithTarget

_TRACER = "service.run.langsmith_tracer"


class LangSmithMode(StrEnum):
    """What LangSmith gets."""

    OFF = "off"
    NATIVE = "native"
    OTLP = "otlp"


def langsmith_mode(settings: Settings, *, offline: bool) -> LangSmithMode:
    """What the LANGSMITH_* variables and our own ask for; raises SettingsError."""
    if offline:
        return LangSmithMode.OFF
    native = _is_native()
    if native and (other := load(f"{_TRACER}:other_mode")()):
        raise SettingsError(
            f"{other} would send prompts and a second copy of every run to Jaeger, "
            "among the spans that are judged; unset it, or set LANGSMITH_TRACING=false."
        )
    if settings.langsmith is None:
        return LangSmithMode.NATIVE if native else LangSmithMode.OFF
    if native:
        raise SettingsError(
            "TRADING_GRAPH_LANGSMITH=otlp and LANGSMITH_TRACING=true would send every run to "
            "LangSmith twice; unset one of them."
        )
    return LangSmithMode.OTLP


def offline_note(settings: Settings, *, offline: bool) -> str | None:
    """What `--offline` does to a mode that is asked for; None where it changes nothing."""
    variable = "LANGSMITH_TRACING=true" if _is_native() else None
    if settings.langsmith is not None:
        variable = f"TRADING_GRAPH_LANGSMITH={settings.langsmith}"
    if not offline or variable is None:
        return None
    return (
        f"LangSmith gets nothing of offline runs, whatever {variable} says; it does without "
        "--offline."
    )


def langsmith_target(settings: Settings, mode: LangSmithMode) -> "LangSmithTarget | None":
    """Where our spans go in LangSmith, in mode `otlp`; raises SettingsError."""
    if mode is not LangSmithMode.OTLP:
        return None
    if settings.langsmith_api_key is None:
        raise SettingsError("TRADING_GRAPH_LANGSMITH=otlp needs LANGSMITH_API_KEY; set it.")
    key = settings.langsmith_api_key.get_secret_value()
    target: LangSmithTarget = load("otel.export:LangSmithTarget")(
        settings.langsmith_url, key, settings.langsmith_project
    )
    return target


def _is_native() -> bool:
    """Whether the variables ask LangSmith's client for its run tree."""
    # Its import takes as long as all else that a portfolio needs to be submitted.
    names = (name for name in os.environ if name.startswith(("LANGSMITH_", "LANGCHAIN_")))
    is_asked = any("TRACING" in name for name in names)
    return is_asked and bool(load(f"{_TRACER}:tracing_is_enabled")())
