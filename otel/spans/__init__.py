"""Making spans: names, attributes, honest statuses, loop lag, and the count of what was started."""

from trading_graph.otel.spans.caller import caller_context
from trading_graph.otel.spans.content import content_is_captured
from trading_graph.otel.spans.detached import detached
from trading_graph.otel.spans.kinds import (
    GraphTask,
    agent,
    chat,
    dispatch,
    fetch,
    join,
    prefetch,
    tool,
)
from trading_graph.otel.spans.recording import (
    Recording,
    RecordingProcessor,
    SpanListener,
    active_provider,
    active_recording,
    active_tracer,
)
from trading_graph.otel.spans.run import RunSpan, run
from trading_graph.otel.spans.span import (
    error_type,
    open_span,
    record_error,
    register_control_flow,
    register_own_errors,
)
from trading_graph.otel.spans.unfinished import Unfinished

__all__ = [
    "GraphTask",
    "Recording",
    "RecordingProcessor",
    "RunSpan",
    "SpanListener",
    "Unfinished",
    "active_provider",
    "active_recording",
    "active_tracer",
    "agent",
    "caller_context",
    "chat",
    "content_is_captured",
    "detached",
    "dispatch",
    "error_type",
    "fetch",
    "join",
    "open_span",
    "prefetch",
    "record_error",
    "register_control_flow",
    "register_own_errors",
    "run",
    "tool",
]
