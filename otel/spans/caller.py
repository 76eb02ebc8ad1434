"""The trace of whoever started this process: the variables TRACEPARENT and TRACESTATE.

Their names are OpenTelemetry's for context in environment variables, the values W3C Trace Context.
"""

from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_VARIABLES = {"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate"}


def caller_context(environment: Mapping[str, str]) -> Context:
    """The caller's context; an empty one where there is none, or where it is malformed.

    A malformed header starts a new trace, as W3C Trace Context asks; it never fails a run.
    """
    carrier = {
        header: environment[variable]
        for variable, header in _VARIABLES.items()
        if variable in environment
    }
    return TraceContextTextMapPropagator().extract(carrier, Context())
