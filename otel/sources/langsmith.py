"""Reads a trace from LangSmith: its runs become spans, without their inputs and outputs.

LangSmith keeps microseconds and knows nothing of event loops, CPU time or span counts, so that a
verdict on its traces is weaker and says why.
"""

import datetime
import re
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel.errors import TraceError
from otel.trace import Span, Trace, TraceBuilder, semconv

if TYPE_CHECKING:
    import langsmith
    from langsmith.schemas import Run

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

_FIELDS = (
    "id name run_type parent_run_id start_time end_time error status extra trace_id session_id "
    "dotted_order prompt_tokens completion_tokens"
)
_METADATA: tuple[tuple[str, str, type], ...] = (
    ("langgraph_step", semconv.STEP, int),
    ("langgraph_node", semconv.NODE, str),
    ("ls_model_name", semconv.REQUEST_MODEL, str),
)

# What tracers write as the error: the exception's repr, or its name, a colon and the message.
_EXCEPTION = re.compile(r"\s*([A-Za-z_][\w.]{0,79})[(:]")
_UNNAMED_ERROR = "_OTHER"


@dataclass(frozen=True, slots=True)
class LangSmithQuery:
    """LangSmith's API at a URL such as https://api.smith.langchain.com. Blocks.

    Raises TraceError when LangSmith refuses the key, does not answer, or answers no runs.
    """

    api_url: str
    api_key: str | None
    timeout_s: float = 10.0

    def trace(self, trace_id: str) -> Trace | None:
        """The trace with an id of 32 hexadecimal digits, as LangSmith has it now, or None."""
        try:
            asked = uuid.UUID(trace_id)
        except ValueError as error:
            raise TraceError(f"{trace_id} is no trace id of 32 hexadecimal digits.") from error
        builder = TraceBuilder(asked.hex)
        runs = self._runs(asked)
        for run in runs:
            builder.add(_span(run))
        return builder.build() if runs else None

    def link(self, project: str, run_id: uuid.UUID) -> str | None:
        """The page of a run, or None where LangSmith does not say which project that is."""
        from langsmith import utils

        client = None
        try:
            client = self._client()
            known = client.read_project(project_name=project).url
        except (utils.LangSmithError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return None
        finally:
            if client is not None:
                client.close()
        return f"{known}/r/{run_id}" if known else None

    def _client(self) -> "langsmith.Client":
        # Imported here: it takes longer than everything that a file needs.
        from langsmith import Client
        from urllib3 import Retry

        return Client(
            api_url=self.api_url,
            # Not None, which would take a key from the environment or a profile.
            api_key=self.api_key or "",
            timeout_ms=int(self.timeout_s * 1000),
            retry_config=Retry(0),
            auto_batch_tracing=False,
            # Else the environment may have it set a global tracer provider.
            tracing_mode="langsmith",
            # Else closing it shuts down the cache of every other client.
            disable_prompt_cache=True,
        )

    def _runs(self, trace_id: uuid.UUID) -> "list[Run]":
        import requests
        from langsmith import utils

        client = None
        try:
            client = self._client()
            with warnings.catch_warnings():
                # Its successor `client.runs.query` needs a server of 0.16 or later. Only the call
                # warns; filters are the whole process's, and not to be held while it is read.
                warnings.simplefilter("ignore", DeprecationWarning)
                runs = client.list_runs(trace_id=trace_id, select=_FIELDS.split())
            return list(runs)
        except utils.LangSmithNotFoundError:
            return []
        except (utils.LangSmithConnectionError, requests.Timeout) as error:
            raise TraceError(
                f"LangSmith does not answer at {self.api_url}; check LANGSMITH_ENDPOINT."
            ) from error
        except utils.LangSmithError as error:
            status = _status(error)
            if status in (401, 403):
                raise self._refused() from error
            answered = f"answered HTTP {status}" if status else f"failed: {type(error).__name__}"
            raise TraceError(f"LangSmith at {self.api_url} {answered}.") from error
        except (
            requests.RequestException,
            KeyError,
            TypeError,
            ValueError,  # pydantic's and JSON's are of this kind
            AttributeError,
        ) as error:
            raise TraceError(f"{self.api_url} does not answer as LangSmith does.") from error
        finally:
            if client is not None:
                client.close(timeout=0)

    def _refused(self) -> TraceError:
        return TraceError(f"LangSmith at {self.api_url} refused the key; check LANGSMITH_API_KEY.")


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an error of the client, which itself tells it in words only."""
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        cause = cause.__cause__ or cause.__context__
    return None


def _span(run: "Run") -> Span:
    attributes = _attributes(run)
    failed = bool(run.error) or run.status == "error"
    return Span(
        span_id=run.id.hex,
        parent_id=run.parent_run_id.hex if run.parent_run_id else "",
        name=run.name,
        kind=1,
        start_ns=_nanoseconds(run.start_time),
        end_ns=_nanoseconds(run.end_time) if run.end_time else 0,
        status=2 if failed else int(run.status == "success"),
        attributes=lambda: attributes,
    )


def _attributes(run: "Run") -> Mapping[str, Any]:
    found: dict[str, Any] = {semconv.LANGSMITH_SPAN_KIND: run.run_type}
    if run.error:
        # Never its words, which may quote what the run was given.
        exception = _EXCEPTION.match(run.error)
        found[semconv.ERROR_TYPE] = exception[1] if exception else _UNNAMED_ERROR
    if run.run_type == "tool":
        found[semconv.TOOL_NAME] = run.name
    for key, tokens in (
        (semconv.USAGE_INPUT_TOKENS, run.prompt_tokens),
        (semconv.USAGE_OUTPUT_TOKENS, run.completion_tokens),
    ):
        if tokens is not None:
            found[key] = tokens
    metadata = (run.extra or {}).get("metadata")
    if isinstance(metadata, dict):
        for key, name, kind in _METADATA:
            said = metadata.get(key)
            if isinstance(said, kind) and not isinstance(said, bool):
                found[name] = said
    return found


def _nanoseconds(time: datetime.datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000
