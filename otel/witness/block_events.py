"""A block of an event loop as an event on the spans of that loop."""

from opentelemetry.sdk.trace import Event
from opentelemetry.util.types import AttributeValue

from trading_graph.otel.vocabularies import witness
from trading_graph.otel.witness.blocks import Block


def block_event(block: Block) -> Event:
    """Make the event `witness.blocked`, at the time when the block began."""
    attributes: dict[str, AttributeValue] = {
        witness.BLOCKED_DURATION_MS: _ms(block.end_ns - block.start_ns),
        witness.BLOCKED_STATE: str(block.state),
        witness.BLOCKED_CPU_SHARE: round(block.cpu_share, 3),
    }
    if block.line is not None:
        attributes[witness.CODE_FILE] = block.line.path
        attributes[witness.CODE_LINE] = block.line.number
        attributes[witness.CODE_FUNCTION] = block.line.function
    if block.library is not None:
        attributes[witness.BLOCKED_LIBRARY] = str(block.library)
    if block.task is not None:
        attributes[witness.BLOCKED_TASK] = block.task
    if block.in_collection:
        attributes[witness.BLOCKED_GC] = True
    if block.starved_ns > 0:
        attributes[witness.BLOCKED_STARVED_MS] = _ms(block.starved_ns)
    return Event(witness.BLOCKED, attributes, block.start_ns)


def _ms(time_ns: int) -> float:
    return round(time_ns / 1e6, 1)
