"""The lines that the monitoring commands look for: when each agent started and ended.

    grep "⏱️" logs/trading_graph.log
    grep "START" logs/trading_graph.log | awk '{print $1, $2, $3, $NF}'
    grep "Total execution time" logs/trading_graph.log

They are written from the agents' spans, so that log and trace cannot disagree.
"""

from opentelemetry.sdk.trace import ReadableSpan

from trading_graph.otel.trace import semconv
from trading_graph.service.log import LOG


class TimingLog:
    """Logs the start and the end of every agent, and of the run; a `SpanListener`."""

    def on_start(self, span: ReadableSpan) -> None:
        """Log an agent's start; the epoch comes last, because the awk command prints the last
        field.
        """
        if agent := _agent(span):
            LOG.info("⏱️ %s START: %.3f", agent, (span.start_time or 0) / 1e9, extra=_about(span))

    def on_end(self, span: ReadableSpan) -> None:
        """Log an agent's end, and the run's total."""
        end, start = (span.end_time or 0) / 1e9, (span.start_time or 0) / 1e9
        if agent := _agent(span):
            LOG.info(
                "⏱️ %s END: %.3f (duration: %.3fs)", agent, end, end - start, extra=_about(span)
            )
        elif _operation(span) == semconv.INVOKE_WORKFLOW:
            LOG.info("Total execution time: %.3fs", end - start, extra=_about(span))


def _operation(span: ReadableSpan) -> object:
    return (span.attributes or {}).get(semconv.OPERATION_NAME)


def _agent(span: ReadableSpan) -> object:
    if _operation(span) != semconv.INVOKE_AGENT:
        return None
    return (span.attributes or {}).get(semconv.AGENT_NAME)


def _about(span: ReadableSpan) -> dict[str, object]:
    return {"span": span.get_span_context()}
