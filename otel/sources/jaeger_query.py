"""Reads traces from Jaeger over its stable HTTP API (v3), raw and in nanoseconds.

Raw, because Jaeger's adjusters rewrite times, and its older memory store keeps the rewritten ones.
The spelling of parameters changed in 2.19, so both spellings are sent. Where v3 does not have a
trace, or does not exist, the older path by id is tried.
"""

import json
import time
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import Request

from trading_graph.otel.errors import AnswerTooLargeError, TraceError
from trading_graph.otel.redirects import RedirectRefusedError, same_host_opener
from trading_graph.otel.sources.trace_files import MAX_BYTES, parse
from trading_graph.otel.trace import SpanTable, semconv
from trading_graph.otel.verdict import completeness

_OPENER = same_host_opener()
_POLL_S = 0.1
_STABLE_POLLS = 5
_WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=14))


@dataclass(frozen=True, slots=True)
class JaegerQuery:
    """Jaeger's query API at a base URL such as http://localhost:16686. Blocks.

    Every method raises TraceError where Jaeger does not answer, or answers with something else.
    """

    base_url: str
    timeout_s: float = 10.0
    max_bytes: int = MAX_BYTES
    """Maximum size of an answer, in bytes."""

    def trace(self, trace_id: str) -> SpanTable | None:
        """Return the trace as Jaeger has it now, or None."""
        for path in _paths(trace_id):
            content = self._get(path)
            traces = parse(content, f"the answer of {self.base_url}") if content else []
            for trace in traces:
                if trace.trace_id.zfill(32) == trace_id.zfill(32):
                    return trace
        return None

    def answer(self, trace_id: str) -> bytes | None:
        """Return what the stable API says of a trace, as OTLP JSON in an envelope, or None."""
        return self._get(_paths(trace_id)[0])

    def has(self, trace_id: str) -> bool:
        """Return whether Jaeger has a trace, without reading it."""
        return any(self._get(path, read=False) is not None for path in _paths(trace_id))

    def complete(self, trace_id: str, timeout_s: float = 10.0) -> SpanTable | None:
        """Wait until the trace is complete and return it, or what there is after the timeout.

        A trace that declares its span count is complete when they are all there; any other is
        complete when its count stays the same over several polls.
        """
        deadline = time.monotonic() + timeout_s
        spans, same = -1, 0
        while True:
            trace = self.trace(trace_id)
            if trace is not None:
                state = completeness(trace)
                same = same + 1 if len(trace) == spans else 0
                spans = len(trace)
                if state.exact or (
                    # A root that is still open comes last.
                    state.complete and not state.is_called and same >= _STABLE_POLLS
                ):
                    return trace
            if time.monotonic() > deadline:
                return trace
            time.sleep(_POLL_S)

    def search(
        self, service: str, since: datetime, until: datetime, limit: int = 20
    ) -> list[SpanTable]:
        """Find traces in which a service took part between two times, the newest first."""
        first, last = (f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}" for time in (since, until))
        query = {
            "service_name": service,
            "serviceName": service,
            "start_time_min": first,
            "startTimeMin": first,
            "start_time_max": last,
            "startTimeMax": last,
            "num_traces": limit,
            "search_depth": limit,
            "searchDepth": limit,
            "raw_traces": "true",
            "rawTraces": "true",
        }
        parameters = urlencode({f"query.{name}": value for name, value in query.items()})
        content = self._get(f"/api/v3/traces?{parameters}")
        traces = parse(content, f"the answer of {self.base_url}") if content else []
        return sorted(
            (trace for trace in traces if len(trace)),
            key=lambda trace: int(trace.start[0]),
            reverse=True,
        )

    def newest(self, service: str) -> SpanTable | None:
        """Return the newest trace of a service within the last two weeks, or None.

        Detached work, which a run starts and does not wait for, does not count.
        """
        now = datetime.now(UTC) + timedelta(minutes=1)
        for window in _WINDOWS:
            for trace in self.search(service, now - window, now):
                if trace.attributes(0).get(semconv.OPERATION) != semconv.DETACHED:
                    return trace
        return None

    def services(self) -> list[str]:
        """List the services that Jaeger has seen."""
        content = self._get("/api/v3/services") or b"{}"
        try:
            document: Any = json.loads(content)
            return sorted(str(name) for name in document.get("services", []))
        except (ValueError, AttributeError, TypeError) as error:
            raise TraceError(f"{self.base_url} does not answer as Jaeger does.") from error

    def answers(self) -> bool:
        """Return whether Jaeger's API answers at all."""
        try:
            with self._open("/api/v3/services", 0.5) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError, HTTPException):
            return False

    def _open(self, path: str, timeout_s: float) -> Any:
        """Open a path of the API; raises ValueError for an address that is not of HTTP."""
        if not self.base_url.lower().startswith(("http://", "https://")):
            raise ValueError("it does not begin with http:// or https://")
        return _OPENER.open(_request(self.base_url.rstrip("/") + path), timeout=timeout_s)

    def _get(self, path: str, *, read: bool = True) -> bytes | None:
        """Return the body of the answer, or None for 404; empty if `read` is false."""
        try:
            with self._open(path, self.timeout_s) as answer:
                content: bytes = answer.read(self.max_bytes + 1) if read else b""
                kind = answer.headers.get_content_type()
        except HTTPError as error:
            error.close()
            if error.code == 404:
                return None
            raise TraceError(f"Jaeger at {self.base_url} answered HTTP {error.code}.") from error
        except RedirectRefusedError as error:
            raise TraceError(
                f"{self.base_url} is no address of Jaeger: {error.reason}, which is not followed; "
                "name Jaeger's own address."
            ) from error
        except (URLError, OSError, HTTPException) as error:
            raise TraceError(
                f"Jaeger does not answer at {self.base_url}; start it, or name another address."
            ) from error
        except ValueError as error:
            raise TraceError(f"{self.base_url!r} is no address of Jaeger: {error}.") from error
        if kind == "text/html":
            raise TraceError(
                f"{self.base_url} answers with a page, not with traces; is that Jaeger's address "
                "(port 16686)?"
            )
        if len(content) > self.max_bytes:
            raise AnswerTooLargeError(
                f"The answer of {self.base_url} is larger than {self.max_bytes / 2**20:g} MiB; ask "
                "for fewer traces, or judge the trace from a file."
            )
        return content


def _request(url: str) -> Request:
    """The request of an address; urllib takes its user and password for a part of the host."""
    parts = urlsplit(url)
    request = Request(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header(
            "Authorization", f"Basic {b64encode(pair.encode()).decode()}"
        )
    return request


def _paths(trace_id: str) -> tuple[str, str]:
    """Return the paths of a trace in the stable API and in the older one."""
    name = quote(trace_id, safe="")
    return (
        f"/api/v3/traces/{name}?rawTraces=true&raw_traces=true",
        f"/api/traces/{name}?raw=true",
    )
