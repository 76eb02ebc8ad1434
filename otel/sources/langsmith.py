"""Reads a trace from LangSmith: its runs become spans, without their inputs and outputs.

Spans that our exporter sent over OTLP come back whole: every run has its span as metadata. Of any
other run LangSmith keeps microseconds, and nothing about event loops, CPU time or span counts, so a
verdict on it is weaker and says why. If some of a trace's runs lost their span, all are read from
LangSmith's own fields: a mixture could lead to a wrong verdict.

Import this module only where a trace of LangSmith is needed: LangSmith's client is an optional
dependency, and takes longer to load than everything that a file needs.
"""

import datetime
import re
import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any

import msgspec
import requests
from langsmith import Client, utils
from langsmith.schemas import Run
from urllib3 import Retry

from trading_graph.otel.errors import TraceError
from trading_graph.otel.otlp_json import DECODE_ERRORS, OtlpSpan, RawSpan, hexadecimal
from trading_graph.otel.trace import SpanTable, SpanValues, TraceBuilder, no_events, semconv
from trading_graph.otel.vocabularies import witness

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

_FIELDS = (
    "id name run_type parent_run_id start_time end_time error status extra trace_id session_id "
    "dotted_order prompt_tokens completion_tokens first_token_time"
)
_FIELDS_TO_FIND = "id name run_type start_time trace_id session_id dotted_order"
_METADATA: tuple[tuple[str, type | UnionType], ...] = (
    ("langgraph_node", str),
    ("langgraph_step", int),
    ("langgraph_triggers", list | str),
    ("langgraph_path", list | str),
    ("langgraph_checkpoint_ns", str),
    ("checkpoint_ns", str),
    ("ls_model_name", str),
    ("session_id", str),
    ("thread_id", str),
    ("conversation_id", str),
)
"""What is read of a run's metadata: structure, and no content."""

_SPAN_DECODER = msgspec.json.Decoder(RawSpan, strict=False)
_PADDING = "0" * 16
"""The zeros before the span id in the id of a run that was sent over OTLP."""

# Tracers write the exception's repr as the error, or its name, a colon and the message.
_EXCEPTION = re.compile(r"\s*([A-Za-z_][\w.]{0,79})[(:]")
_OTHER_ERROR = "_OTHER"


@dataclass(frozen=True, slots=True)
class LangSmithQuery:
    """LangSmith's API at a URL such as https://api.smith.langchain.com. Blocks.

    Raises TraceError where LangSmith refuses the key, does not answer, or does not answer with
    runs.
    """

    api_url: str
    api_key: str | None
    project: str = "default"
    timeout_s: float = 10.0

    def trace(self, trace_id: str) -> SpanTable | None:
        """Return the trace with an id of 32 hexadecimal digits, as LangSmith has it now, or None.

        The id is ours or LangSmith's own. By ours, a trace sent over OTLP is found only in the
        project.
        """
        try:
            id = uuid.UUID(trace_id)
        except ValueError as error:
            raise TraceError(f"{trace_id} is no trace id of 32 hexadecimal digits.") from error
        runs = self._runs(_FIELDS, trace_id=id)
        if not runs:
            matches = self._runs(_FIELDS_TO_FIND, project_name=self.project, filter=_sent_as(id))
            for their_id in sorted({run.trace_id for run in matches}):
                runs += self._runs(_FIELDS, trace_id=their_id)
        return _trace(id.hex, runs) if runs else None

    def link(self, run_id: uuid.UUID) -> str | None:
        """Return the address of a run's page, or None where the project's is unknown."""
        client = None
        try:
            client = self._client()
            project_url = client.read_project(project_name=self.project).url
        except (utils.LangSmithError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return None
        finally:
            if client is not None:
                client.close()
        return f"{project_url}/r/{run_id}" if project_url else None

    def _client(self) -> Client:
        return Client(
            api_url=self.api_url,
            # None would take a key from the environment or a profile.
            api_key=self.api_key or "",
            timeout_ms=int(self.timeout_s * 1000),
            retry_config=Retry(0),
            auto_batch_tracing=False,
            # Otherwise the environment may make it set a global tracer provider.
            tracing_mode="langsmith",
            # Otherwise closing it shuts down the cache of every other client.
            disable_prompt_cache=True,
        )

    def _runs(self, fields: str, **query: Any) -> list[Run]:
        client = None
        try:
            client = self._client()
            with warnings.catch_warnings():
                # The successor `client.runs.query` needs a server of 0.16 or later. Only the call
                # warns; the filter applies to the whole process, so it ends before the runs are
                # read.
                warnings.simplefilter("ignore", DeprecationWarning)
                runs = client.list_runs(select=fields.split(), **query)
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
                raise TraceError(
                    f"LangSmith at {self.api_url} refused the key; check LANGSMITH_API_KEY."
                ) from error
            fault = f"answered HTTP {status}" if status else f"failed: {type(error).__name__}"
            raise TraceError(f"LangSmith at {self.api_url} {fault}.") from error
        except (
            requests.RequestException,
            KeyError,
            TypeError,
            ValueError,  # the base of pydantic's and JSON's errors
            AttributeError,
        ) as error:
            raise TraceError(f"{self.api_url} does not answer as LangSmith does.") from error
        finally:
            if client is not None:
                client.close(timeout=0)


def _status(error: BaseException) -> int | None:
    """Return the HTTP status behind an error of the client, whose message has it only as text."""
    cause: BaseException | None = error
    while cause is not None:
        status = getattr(getattr(cause, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
        cause = cause.__cause__ or cause.__context__
    return None


def _sent_as(trace_id: uuid.UUID) -> str:
    """Return LangSmith's filter for the runs that were sent as spans of a trace."""
    return (
        f'and(eq(metadata_key, "{semconv.LANGSMITH_TRACE}"), eq(metadata_value, "{trace_id.hex}"))'
    )


def _trace(trace_id: str, runs: list[Run]) -> SpanTable:
    originals = {run.id: span for run in runs if (span := _original(run)) is not None}
    if _some_are_lost(runs, originals):
        originals = {}
    builder = TraceBuilder(next((span.trace_id for span in originals.values()), trace_id))
    for run in runs:
        builder.add(originals.get(run.id) or _span(run))
    return builder.build()


def _some_are_lost(runs: list[Run], originals: Mapping[uuid.UUID, OtlpSpan]) -> bool:
    """Return whether a run that we sent came back without its span.

    The parent of our root run may be its caller's run, which never had one. No other run with a
    span may have a neighbour without one.
    """
    without = {run.id for run in runs} - set(originals)
    for run in runs:
        span = originals.get(run.id)
        if span is None:
            if run.parent_run_id in originals:
                return True
        elif run.parent_run_id in without and witness.spans_started(span.attributes()) is None:
            return True
    return False


def _original(run: Run) -> OtlpSpan | None:
    """Return the span that a run was sent as, or None."""
    text = _metadata(run).get(semconv.LANGSMITH_SPAN)
    if not isinstance(text, str):
        # A server that parses JSON in metadata returns it as an object.
        text = msgspec.json.encode(text)
    try:
        raw = _SPAN_DECODER.decode(text)
    except DECODE_ERRORS:
        return None
    span = raw.record(hexadecimal(raw.trace_id), {})
    # Metadata can be copied from one run to another.
    return span if _id(run.id) == span.span_id else None


def _id(run_id: uuid.UUID) -> str:
    """Return the span id if the run was sent over OTLP, else the run's own id."""
    return run_id.hex.removeprefix(_PADDING)


def _span(run: Run) -> SpanValues:
    attributes = _attributes(run)
    is_error = bool(run.error) or run.status == "error"
    return SpanValues(
        span_id=_id(run.id),
        parent_id=_id(run.parent_run_id) if run.parent_run_id else "",
        name=run.name,
        kind=1,
        start_ns=_nanoseconds(run.start_time),
        end_ns=_nanoseconds(run.end_time) if run.end_time else 0,
        status=2 if is_error else int(run.status == "success"),
        attributes=lambda: attributes,
        events=no_events,
    )


def _attributes(run: Run) -> Mapping[str, Any]:
    attributes: dict[str, Any] = {semconv.LANGSMITH_SPAN_KIND: run.run_type}
    if run.error:
        # Never the message, which may quote the run's inputs.
        exception = _EXCEPTION.match(run.error)
        attributes[semconv.ERROR_TYPE] = exception[1] if exception else _OTHER_ERROR
    if run.run_type == "tool":
        attributes[semconv.TOOL_NAME] = run.name
    for key, tokens in (
        (semconv.USAGE_INPUT_TOKENS, run.prompt_tokens),
        (semconv.USAGE_OUTPUT_TOKENS, run.completion_tokens),
    ):
        if tokens is not None:
            attributes[key] = tokens
    if run.first_token_time is not None:
        waited_ns = _nanoseconds(run.first_token_time) - _nanoseconds(run.start_time)
        attributes[semconv.RESPONSE_TIME_TO_FIRST_CHUNK] = waited_ns / 1e9
    metadata = _metadata(run)
    for key, kind in _METADATA:
        value = metadata.get(key)
        if isinstance(value, kind) and not isinstance(value, bool):
            attributes[semconv.LANGSMITH_METADATA + key] = value
    return attributes


def _metadata(run: Run) -> Mapping[str, Any]:
    metadata = (run.extra or {}).get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _nanoseconds(time: datetime.datetime) -> int:
    aware = time if time.tzinfo else time.replace(tzinfo=datetime.UTC)
    return (aware - _EPOCH) // _MICROSECOND * 1000
