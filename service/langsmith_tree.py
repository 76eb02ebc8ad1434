"""LangSmith's own run tree beside ours: its client, without secrets, and closed in time."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import langsmith
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers import LangChainTracer
from langsmith.env import get_langchain_env_var_metadata, get_runtime_environment
from langsmith.utils import get_env_var
from urllib3 import Retry

from trading_graph.otel.redaction import Redactor

_LOG = logging.getLogger(__name__)

EXIT_S = 1.5
"""How long the exit waits for LangSmith; what it has not taken by then is lost to it."""


@asynccontextmanager
async def langsmith_tree(redactor: Redactor) -> AsyncIterator[BaseCallbackHandler]:
    """A tracer that sends a run tree as the LANGSMITH_* variables describe."""
    tracer, client = await asyncio.to_thread(_made, redactor)
    try:
        yield tracer
    finally:
        await asyncio.to_thread(client.close, EXIT_S)


def _made(redactor: Redactor) -> tuple[LangChainTracer, langsmith.Client]:
    # Cached; asks git for its revision, which the first run's start would do on the event loop.
    get_langchain_env_var_metadata()
    get_runtime_environment()
    # Its threads hold the exit for as long as LangSmith does not answer, unless they are daemons,
    # and only the environment says that.
    os.environ.setdefault("LANGSMITH_USE_DAEMON", "true")
    # It logs several lines a batch, with the end of its key; ours says it once.
    logging.getLogger("langsmith").setLevel(logging.CRITICAL)
    client = langsmith.Client(
        anonymizer=_Anonymizer(redactor),
        retry_config=Retry(0),
        timeout_ms=int(EXIT_S * 1000),
        tracing_mode="langsmith",
        tracing_error_callback=_Once(),
        disable_prompt_cache=True,
    )
    return LangChainTracer(client=client), client


class _Anonymizer:
    """What LangSmith's client runs over inputs, outputs, metadata and errors before it sends them.

    A message of an exception may quote what was put in or came out, so that where these are hidden
    only the exception's class is sent.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._hiding = any(get_env_var(f"HIDE_{what}") == "true" for what in ("INPUTS", "OUTPUTS"))

    def __call__(self, document: dict[str, Any]) -> dict[str, Any]:
        error = document.get("error")
        if self._hiding and len(document) == 1 and isinstance(error, str):
            return {"error": error.partition("(")[0]}
        redacted: dict[str, Any] = self._redactor.document(document)
        return redacted


class _Once:
    """Logs the first failure of sending."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, error: Exception) -> None:
        if not self._said:
            self._said = True
            _LOG.warning("LangSmith does not take its run tree: %s.", type(error).__name__)
