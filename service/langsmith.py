"""What LangSmith gets: nothing, a run tree that its own client records, or our spans.

Never two of them, since LangSmith would show every run twice. Its client can also make
OpenTelemetry spans. That mode is refused: those spans would be a second copy of the run among ours,
with prompts and completions, and would go wherever ours go.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import langsmith
from langsmith.env import get_langchain_env_var_metadata, get_runtime_environment
from langsmith.utils import get_env_var, is_env_var_truish, tracing_is_enabled
from urllib3 import Retry

from trading_graph.otel.export import LangSmithTarget
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.same_host_session import SameHostSession
from trading_graph.service.errors import SettingsError
from trading_graph.service.settings import Settings

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tracers import LangChainTracer

_NATIVE = "langsmith"


class LangSmithMode(StrEnum):
    """What LangSmith gets."""

    OFF = "off"
    NATIVE = "native"
    OTLP = "otlp"


def langsmith_mode(settings: Settings, *, offline: bool) -> LangSmithMode:
    """What the LANGSMITH_* variables and our own ask for; raises SettingsError."""
    if offline:
        return LangSmithMode.OFF
    native = tracing_is_enabled()
    if native and (other := _other_mode()):
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
    variable = "LANGSMITH_TRACING=true" if tracing_is_enabled() else None
    if settings.langsmith is not None:
        variable = f"TRADING_GRAPH_LANGSMITH={settings.langsmith}"
    if not offline or variable is None:
        return None
    return (
        f"LangSmith gets nothing of offline runs, whatever {variable} says; it does without "
        "--offline."
    )


def langsmith_target(settings: Settings, mode: LangSmithMode) -> LangSmithTarget | None:
    """Where our spans go in LangSmith, in mode `otlp`; raises SettingsError."""
    if mode is not LangSmithMode.OTLP:
        return None
    if settings.langsmith_api_key is None:
        raise SettingsError("TRADING_GRAPH_LANGSMITH=otlp needs LANGSMITH_API_KEY; set it.")
    key = settings.langsmith_api_key.get_secret_value()
    return LangSmithTarget(settings.langsmith_url, key, settings.langsmith_project)


def _other_mode() -> str | None:
    """The variable that asks for a mode other than its own run tree; the newer one wins."""
    mode = get_env_var("TRACING_MODE")
    if mode is not None:
        return None if mode.lower() == _NATIVE else f"LANGSMITH_TRACING_MODE={mode}"
    older = ("OTEL_ONLY", "OTEL_ENABLED")
    return next((f"LANGSMITH_{name}=true" for name in older if is_env_var_truish(name)), None)


_LOG = logging.getLogger(__name__)

EXIT_S = 1.5
"""How long the exit waits for LangSmith, in seconds; the rest is lost to it."""


@asynccontextmanager
async def langsmith_callbacks(
    mode: LangSmithMode, redactor: Redactor, *, private: bool = False
) -> "AsyncIterator[list[BaseCallbackHandler]]":
    """In mode `native` a tracer that sends a run tree as the LANGSMITH_* variables describe.

    Of a `private` run, whose prompts say what somebody holds, it sends neither inputs nor outputs.
    """
    if mode is not LangSmithMode.NATIVE:
        yield []
        return
    tracer, client = await asyncio.to_thread(_make_tracer, redactor, private)
    try:
        yield [tracer]
    finally:
        await asyncio.to_thread(client.close, EXIT_S)


def _make_tracer(redactor: Redactor, private: bool) -> "tuple[LangChainTracer, langsmith.Client]":
    # Not above: `doctor` and `replay` read the mode only, and this import takes long.
    from langchain_core.tracers import LangChainTracer

    # Cached: the first call asks git for its revision, which must not block the event loop.
    get_langchain_env_var_metadata()
    get_runtime_environment()
    # Its threads delay the exit while LangSmith does not answer, unless they are daemons, and only
    # the environment can make them so.
    os.environ.setdefault("LANGSMITH_USE_DAEMON", "true")
    # It logs several lines a batch, with the end of its key; our logger reports it once.
    logging.getLogger("langsmith").setLevel(logging.CRITICAL)
    client = langsmith.Client(
        anonymizer=_Anonymizer(redactor, private=private),
        hide_inputs=private or None,  # None leaves it to the variables
        hide_outputs=private or None,
        retry_config=Retry(0),
        timeout_ms=int(EXIT_S * 1000),
        tracing_mode="langsmith",
        session=SameHostSession(),
        tracing_error_callback=_FirstFailure(),
        disable_prompt_cache=True,
    )
    return LangChainTracer(client=client), client


class _Anonymizer:
    """Redacts inputs, outputs, metadata and errors before LangSmith's client sends them.

    The message of an exception may quote inputs or outputs. Where these are hidden, only the class
    of the exception is sent.
    """

    def __init__(self, redactor: Redactor, *, private: bool = False) -> None:
        self._redactor = redactor
        names = ("HIDE_INPUTS", "HIDE_OUTPUTS")
        self._hiding = private or any(get_env_var(name) == "true" for name in names)

    def __call__(self, document: dict[str, Any]) -> dict[str, Any]:
        error = document.get("error")
        if self._hiding and len(document) == 1 and isinstance(error, str):
            return {"error": error.partition("(")[0]}
        redacted: dict[str, Any] = self._redactor.document(document)
        return redacted


class _FirstFailure:
    """Logs the first failure of sending."""

    def __init__(self) -> None:
        self._logged = False

    def __call__(self, error: Exception) -> None:
        if not self._logged:
            self._logged = True
            _LOG.warning("LangSmith does not take its run tree: %s.", type(error).__name__)
