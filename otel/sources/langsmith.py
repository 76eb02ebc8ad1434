"""Reads a trace from LangSmith: its runs become spans, without their inputs and outputs.

What our exporter sent over OTLP comes back whole: every run has its span as metadata. Of any other
run LangSmith keeps microseconds, and knows nothing of event loops, CPU time or span counts, so that
a verdict on it is weaker and says why. Where some of a trace's runs lost their span, all are read
that way: half of what was recorded could give a wrong verdict.
"""

import datetime
import re
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources.otlp_json import UNREADABLE, OtlpSpan, WrittenSpan, hexadecimal
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder, no_events, semconv

if TYPE_CHECKING:
    import langsmith
    from langsmith.schemas import Run

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

_FIELDS = (
    "id name run_type parent_run_id start_time end_time error status extra trace_id session_id "
    "dotted_order prompt_tokens completion_tokens"
)
_FIELDS_TO_FIND = "id name run_type start_time trace_id session_id dotted_order"
_METADATA: tuple[tuple[str, str, type], ...] = (
    ("langgraph_step", semconv.STEP, int),
    ("langgraph_node", semconv.NODE, str),
    ("ls_model_name", semconv.REQUEST_MODEL, str),
)

_SENT = msgspec.json.Decoder(WrittenSpan, strict=False)
_PADDING = "0" * 16
"""Before the span id, in the id of a run that came over OTLP."""

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
    project: str = "default"
    timeout_s: float = 10.0

    def trace(self, trace_id: str) -> SpanTable | None:
        """The trace with an id of 32 hexadecimal digits, as LangSmith has it now, or None.

        The id is ours or LangSmith's own. What came over OTLP is found by ours in the project only.
        """
        try:
            asked = uuid.UUID(trace_id)
        except ValueError as error:
            raise TraceError(f"{trace_id} is no trace id of 32 hexadecimal digits.") from error
        runs = self._runs(_FIELDS, trace_id=asked)
        if not runs:
            sent = self._runs(_FIELDS_TO_FIND, project_name=self.project, filter=_that_carry(asked))
            for known in sorted({run.trace_id for run in sent}):
                runs += self._runs(_FIELDS, trace_id=known)
        return _trace(asked.hex, runs) if runs else None

    def link(self, run_id: uuid.UUID) -> str | None:
        """The page of a run, or None where LangSmith does not say where the project is."""
        from langsmith import utils

        client = None
        try:
            client = self._client()
            known = client.read_project(project_name=self.project).url
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

    def _runs(self, fields: str, **asked: Any) -> "list[Run]":
        import requests
        from langsmith import utils

        client = None
        try:
            client = self._client()
            with warnings.catch_warnings():
                # Its successor `client.runs.query` needs a server of 0.16 or later. Only the call
                # warns; filters are the whole process's, and not to be held while it is read.
                warnings.simplefilter("ignore", DeprecationWarning)
                runs = client.list_runs(select=fields.split(), **asked)
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


def _that_carry(trace_id: uuid.UUID) -> str:
    """LangSmith's filter for the runs that were sent as spans of a trace."""
    return (
        f'and(eq(metadata_key, "{semconv.LANGSMITH_TRACE}"), eq(metadata_value, "{trace_id.hex}"))'
    )


def _trace(trace_id: str, runs: "list[Run]") -> SpanTable:
    sent = {run.id: span for run in runs if (span := _sent(run)) is not None}
    if _some_are_lost(runs, sent):
        sent = {}
    builder = TraceBuilder(next((span.trace_id for span in sent.values()), trace_id))
    for run in runs:
        builder.add(sent.get(run.id) or _span(run))
    return builder.build()


def _some_are_lost(runs: "list[Run]", sent: Mapping[uuid.UUID, OtlpSpan]) -> bool:
    """Whether a run of ours came back without its span.

    Above a run of ours may stand its caller's, which never had one; nowhere else may they meet.
    """
    without = {run.id for run in runs} - set(sent)
    for run in runs:
        span = sent.get(run.id)
        if span is None:
            if run.parent_run_id in sent:
                return True
        elif run.parent_run_id in without and semconv.SPANS_STARTED not in span.attributes():
            return True
    return False


def _sent(run: "Run") -> OtlpSpan | None:
    """The span that a run was sent as, or None."""
    said = _metadata(run).get(semconv.LANGSMITH_SPAN)
    if not isinstance(said, str):
        # A server that reads JSON where it finds some gives it back as an object.
        said = msgspec.json.encode(said)
    try:
        written = _SENT.decode(said)
    except UNREADABLE:
        return None
    span = written.record(hexadecimal(written.trace_id), {})
    # Metadata can be copied from run to run.
    return span if _id(run.id) == span.span_id else None


def _id(run_id: uuid.UUID) -> str:
    """The span id where the run came over OTLP, else the run's own id."""
    return run_id.hex.removeprefix(_PADDING)


def _span(run: "Run") -> SpanValues:
    attributes = _attributes(run)
    failed = bool(run.error) or run.status == "error"
    return SpanValues(
        span_id=_id(run.id),
        parent_id=_id(run.parent_run_id) if run.parent_run_id else "",
        name=run.name,
        kind=1,
        start_ns=_nanoseconds(run.start_time),
        end_ns=_nanoseconds(run.end_time) if run.end_time else 0,
        status=2 if failed else int(run.status == "success"),
        attributes=lambda: attributes,
        events=no_events,
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
    metadata = _metadata(run)
    for key, name, kind in _METADATA:
        said = metadata.get(key)
        if isinstance(said, kind) and not isinstance(said, bool):
            found[name] = said
    return found


def _metadata(run: "Run") -> Mapping[str, Any]:
    found = (run.extra or {}).get("metadata")
    return found if isinstance(found, dict) else {}


def _nanoseconds(time: datetime.datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000
