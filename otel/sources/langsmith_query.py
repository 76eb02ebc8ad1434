"""Reads a trace from LangSmith: its runs become spans, without their inputs and outputs.

What a run becomes is said in `formats.langsmith`, which reads the same runs from files.

Import this module only where a trace of LangSmith is needed: LangSmith's client is an optional
dependency, and takes longer to load than everything that a file needs.
"""

import uuid
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
from langsmith import Client, utils
from langsmith.schemas import Run
from urllib3 import Retry

from trading_graph.otel.errors import TraceError
from trading_graph.otel.same_host_session import SameHostSession
from trading_graph.otel.sources.formats.langsmith import spans_of
from trading_graph.otel.sources.traces import Traces
from trading_graph.otel.trace import SpanTable, semconv

_FIELDS = (
    "id name run_type parent_run_id start_time end_time error status extra trace_id session_id "
    "dotted_order prompt_tokens completion_tokens first_token_time"
)
_FIELDS_TO_FIND = "id name run_type start_time trace_id session_id dotted_order"


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
            session=SameHostSession(),
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
    traces = Traces()
    traces.add(spans_of(trace_id, [_fields(run) for run in runs]))
    (trace,) = traces.build()
    return trace


def _fields(run: Run) -> Mapping[str, Any]:
    """The fields of a run as they stand in a file."""
    return {
        "id": str(run.id),
        "parent_run_id": str(run.parent_run_id or ""),
        "name": run.name,
        "run_type": run.run_type,
        "start_time": run.start_time.isoformat(),
        "end_time": run.end_time.isoformat() if run.end_time else None,
        "first_token_time": run.first_token_time.isoformat() if run.first_token_time else None,
        "error": run.error,
        "status": run.status,
        "extra": run.extra,
        "prompt_tokens": run.prompt_tokens,
        "completion_tokens": run.completion_tokens,
    }
