"""Reads traces from Jaeger over its stable HTTP API (v3), raw and in nanoseconds.

Raw, because Jaeger's adjusters rewrite times and its older memory store keeps what they wrote. The
spelling of parameters changed in 2.19, so both are sent.
"""

import time
from dataclasses import dataclass
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from otel.errors import TraceError
from otel.sources.otlp_json import parse
from otel.trace import Trace

_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class JaegerQuery:
    """Jaeger's query API at a base URL such as http://localhost:16686. Blocks."""

    base_url: str
    timeout_s: float = 5.0

    def trace(self, trace_id: str) -> Trace | None:
        """The trace as Jaeger has it now, or None; raises TraceError when Jaeger does not
        answer.
        """
        url = f"{self.base_url}/api/v3/traces/{trace_id}?rawTraces=true&raw_traces=true"
        try:
            with urlopen(url, timeout=self.timeout_s) as answer:
                content = answer.read()
        except HTTPError as error:
            if error.code == 404:
                return None
            raise TraceError(f"Jaeger at {self.base_url} answered HTTP {error.code}.") from error
        except (URLError, OSError) as error:
            raise TraceError(
                f"Jaeger does not answer at {self.base_url}; start it, or name another address."
            ) from error
        traces = parse(content, f"the answer of {self.base_url}")
        return next((trace for trace in traces if trace.trace_id == trace_id), None)

    def wait_for(self, trace_id: str, spans: int, timeout_s: float = 10.0) -> Trace | None:
        """The trace as soon as it has that many spans, else what there is after the timeout."""
        deadline = time.monotonic() + timeout_s
        while True:
            trace = self.trace(trace_id)
            if (trace and len(trace) >= spans) or time.monotonic() > deadline:
                return trace
            time.sleep(_POLL_S)

    def answers(self) -> bool:
        """Whether Jaeger's API answers at all."""
        try:
            with urlopen(f"{self.base_url}/api/v3/services", timeout=0.5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
