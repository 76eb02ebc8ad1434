"""LangGraph's metadata of a task: the node, the superstep, and where the task stands in its graph.

Every instrumentor hands on LangChain's metadata in a way of its own: LangSmith and OpenLLMetry
under a prefix, OpenInference as JSON in one attribute, others flat. All spans inside a task
inherit its metadata.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from trading_graph.otel.vocabularies import trading
from trading_graph.otel.vocabularies.values import Attributes, document, sequence, whole

_PREFIXES = ("langsmith.metadata.", "traceloop.association.properties.", "")
_METADATA = "metadata"
_NODE, _STEP = "langgraph_node", "langgraph_step"
_NAMESPACES = ("langgraph_checkpoint_ns", "checkpoint_ns")
_THREAD = "thread_id"
_SIGNS = frozenset(
    {trading.NODE, trading.STEP, _METADATA}
    | {prefix + key for prefix in _PREFIXES for key in (_NODE, _STEP, *_NAMESPACES)}
)
_PUSH = "__pregel_push"


class GraphTask(msgspec.Struct, frozen=True):
    """A task of LangGraph: one node that runs in one superstep.

    `namespace` is the task's checkpoint namespace, and empty where it is not recorded. `triggers`
    are the channels that the node waits for; only `join:a+b:c` names who came before.
    """

    node: str | None
    step: int | None
    namespace: str
    path: tuple[Any, ...]
    triggers: tuple[str, ...]

    @property
    def graph(self) -> str:
        """The namespace of the graph that the task belongs to; empty for the outermost graph."""
        return self.namespace.rpartition("|")[0]

    @property
    def is_send(self) -> bool:
        """Whether a Send released the task, and not an edge."""
        return self.path[:1] == (_PUSH,)


def graph_task(attributes: Attributes) -> GraphTask | None:
    """The task of LangGraph that a span is, or runs in; None outside of one."""
    if _SIGNS.isdisjoint(attributes):
        return None  # as for most spans of most traces
    for prefix in _PREFIXES:
        if prefix + _NODE in attributes or prefix + _STEP in attributes:
            return _task(attributes, prefix)
    metadata = _metadata(attributes)
    if _NODE in metadata or _STEP in metadata:
        return _task(metadata, "")
    if trading.NODE in attributes or trading.STEP in attributes:
        return GraphTask(
            _text(attributes.get(trading.NODE)), whole(attributes.get(trading.STEP)), "", (), ()
        )
    return None


def thread(attributes: Attributes) -> str | None:
    """The thread that OpenInference's metadata name, by which a checkpointer keeps conversations."""
    if _METADATA not in attributes:
        return None
    metadata = _metadata(attributes)
    for key in ("session_id", _THREAD, "conversation_id"):
        if value := _text(metadata.get(key)):
            return value
    return None


def _task(metadata: Mapping[str, Any], prefix: str) -> GraphTask:
    namespace = next(
        (text for key in _NAMESPACES if (text := _text(metadata.get(prefix + key)))), None
    )
    path = _items(metadata.get(prefix + "langgraph_path"))
    triggers = _items(metadata.get(prefix + "langgraph_triggers"))
    return GraphTask(
        _text(metadata.get(prefix + _NODE)),
        whole(metadata.get(prefix + _STEP)),
        namespace or "",
        path,
        tuple([each for each in triggers if isinstance(each, str)]),
    )


def _metadata(attributes: Attributes) -> Mapping[str, Any]:
    value = attributes.get(_METADATA)
    if isinstance(value, str):
        return _decode(value)
    return value if isinstance(value, Mapping) else {}


# The spans of one task have the same metadata.
@lru_cache(maxsize=1024)
def _decode(text: str) -> Mapping[str, Any]:
    content = document(text)
    return content if isinstance(content, dict) else {}


def _items(value: object) -> tuple[Any, ...]:
    return _decode_items(value) if isinstance(value, str) else sequence(value)


@lru_cache(maxsize=1024)
def _decode_items(text: str) -> tuple[Any, ...]:
    return sequence(text)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
