"""Reads a trace from LangSmith: its runs become spans, without their inputs and outputs.

LangSmith keeps microseconds and knows nothing of event loops, CPU time or span counts, so that a
verdict on its traces is weaker and says why.
"""

import datetime
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from otel.errors import TraceError
from otel.trace import Span, Trace, TraceBuilder, semconv

if TYPE_CHECKING:
    from langsmith.schemas import Run

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

_FIELDS = (
    "id name run_type parent_run_id start_time end_time error status extra trace_id session_id "
    "dotted_order prompt_tokens completion_tokens"
)
_METADATA = {
    "langgraph_step": semconv.STEP,
    "langgraph_node": semconv.NODE,
    "ls_model_name": semconv.REQUEST_MODEL,
}


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
        builder = TraceBuilder(trace_id)
        found = False
        for run in self._runs(trace_id):
            builder.add(_span(run))
            found = True
        return builder.build() if found else None

    def _runs(self, trace_id: str) -> "list[Run]":
        # Imported here: it takes longer than everything that a file needs.
        import langsmith
        from langsmith import utils
        from pydantic import ValidationError
        from requests import RequestException
        from urllib3 import Retry

        try:
            client = langsmith.Client(
                api_url=self.api_url,
                api_key=self.api_key or "",
                timeout_ms=int(self.timeout_s * 1000),
                retry_config=Retry(0),
                auto_batch_tracing=False,
            )
            with warnings.catch_warnings():
                # Its successor `client.runs.query` needs a server of 0.16 or later.
                warnings.simplefilter("ignore", DeprecationWarning)
                runs = client.list_runs(trace_id=uuid.UUID(trace_id), select=_FIELDS.split())
                return list(runs)
        except utils.LangSmithNotFoundError:
            return []
        except utils.LangSmithAuthError as error:
            raise self._refused() from error
        except utils.LangSmithError as error:
            if "401" in str(error) or "403" in str(error) or "Forbidden" in str(error):
                raise self._refused() from error
            if isinstance(error, utils.LangSmithConnectionError | utils.LangSmithRequestTimeout):
                raise TraceError(f"LangSmith does not answer at {self.api_url}.") from error
            kind = type(error).__name__
            raise TraceError(f"LangSmith at {self.api_url} failed: {kind}.") from error
        except RequestException as error:
            raise TraceError(f"{self.api_url} does not answer as LangSmith does.") from error
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise TraceError(f"{self.api_url} does not answer as LangSmith does.") from error

    def _refused(self) -> TraceError:
        return TraceError(f"LangSmith at {self.api_url} refused the key; check LANGSMITH_API_KEY.")


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
        status=2 if failed else 0,
        attributes=lambda: attributes,
    )


def _attributes(run: "Run") -> Mapping[str, Any]:
    found: dict[str, Any] = {semconv.LANGSMITH_SPAN_KIND: run.run_type}
    if run.error:
        found[semconv.ERROR_TYPE] = run.error.partition("(")[0].split()[0][:80]
    if run.run_type == "tool":
        found[semconv.TOOL_NAME] = run.name
    for key, tokens in (
        (semconv.USAGE_INPUT_TOKENS, run.prompt_tokens),
        (semconv.USAGE_OUTPUT_TOKENS, run.completion_tokens),
    ):
        if tokens is not None:
            found[key] = tokens
    metadata = (run.extra or {}).get("metadata") or {}
    for key, name in _METADATA.items():
        if isinstance(metadata.get(key), str | int):
            found[name] = metadata[key]
    return found


def _nanoseconds(time: datetime.datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000
