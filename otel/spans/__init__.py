"""Making spans: names, attributes, honest statuses, ids, and the count of spans."""

from trading_graph.otel.spans.kinds import (
    GraphPlace,
    agent,
    chat,
    dispatch,
    fetch,
    join,
    prefetch,
    tool,
)
from trading_graph.otel.spans.limits import (
    grant_attributes,
    limit_attributes,
    record_grant,
)
from trading_graph.otel.spans.recording import (
    EventListener,
    Recording,
    RecordingProcessor,
    SpanListener,
    active_provider,
    announce,
)
from trading_graph.otel.spans.run import (
    RunSpan,
    UnfinishedRun,
    caller_context,
    detached_span,
    run,
    run_context,
)
from trading_graph.otel.spans.span import (
    UUIDv7IdGenerator,
    content_is_captured,
    error_type,
    open_span,
    record_past_span,
    register_control_flow,
    register_own_errors,
    uuid7,
)

__all__ = [
    "EventListener",
    "GraphPlace",
    "Recording",
    "RecordingProcessor",
    "RunSpan",
    "SpanListener",
    "UUIDv7IdGenerator",
    "UnfinishedRun",
    "active_provider",
    "agent",
    "announce",
    "caller_context",
    "chat",
    "content_is_captured",
    "detached_span",
    "dispatch",
    "error_type",
    "fetch",
    "grant_attributes",
    "join",
    "limit_attributes",
    "open_span",
    "prefetch",
    "record_grant",
    "record_past_span",
    "register_control_flow",
    "register_own_errors",
    "run",
    "run_context",
    "tool",
    "uuid7",
]
