"""LangGraph's metadata of a task: the node, the superstep, and where the task stands in its graph.

Every instrumentor hands on LangChain's metadata in a way of its own: LangSmith and OpenLLMetry
under a prefix, OpenInference as JSON in one attribute, others flat. All spans inside a task
inherit its metadata.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from trading_graph.otel.vocabularies import trading
from trading_graph.otel.vocabularies.values import Attributes, document, sequence, whole
from trading_graph.otel.vocabularies.vocabulary import Reader

_METADATA = "metadata"
_PUSH = "__pregel_push"


class _Keys(NamedTuple):
    """The keys of a task's metadata in one dialect."""

    node: str
    step: str
    namespace: str
    older_namespace: str
    path: str
    triggers: str


def _keys(prefix: str) -> _Keys:
    return _Keys(
        node=f"{prefix}langgraph_node",
        step=f"{prefix}langgraph_step",
        namespace=f"{prefix}langgraph_checkpoint_ns",
        older_namespace=f"{prefix}checkpoint_ns",
        path=f"{prefix}langgraph_path",
        triggers=f"{prefix}langgraph_triggers",
    )


_PLAIN = _keys("")
_DIALECTS = (_keys("langsmith.metadata."), _keys("traceloop.association.properties."), _PLAIN)
_SIGNS = frozenset({trading.NODE, trading.STEP, _METADATA}).union(
    [key for keys in _DIALECTS for key in (keys.node, keys.step)]
)


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


def _graph_task(attributes: Attributes) -> GraphTask | None:
    if _SIGNS.isdisjoint(attributes):
        return None  # as for most spans of most traces
    for keys in _DIALECTS:
        if keys.node in attributes or keys.step in attributes:
            return _task(attributes, keys)
    if _METADATA in attributes:
        metadata = _metadata(attributes)
        if _PLAIN.node in metadata or _PLAIN.step in metadata:
            return _task(metadata, _PLAIN)
    if trading.NODE in attributes or trading.STEP in attributes:
        node, step = _text(attributes.get(trading.NODE)), whole(attributes.get(trading.STEP))
        return GraphTask(node, step, "", (), ())
    return None


graph_task = Reader(_graph_task, _SIGNS, None)
"""The task of LangGraph that a span is, or runs in; None outside of one."""


def thread(attributes: Attributes) -> str | None:
    """The session, thread or conversation that OpenInference's metadata name, or None."""
    if _METADATA not in attributes:
        return None
    metadata = _metadata(attributes)
    for key in ("session_id", "thread_id", "conversation_id"):
        if value := _text(metadata.get(key)):
            return value
    return None


def _task(metadata: Mapping[str, Any], keys: _Keys) -> GraphTask:
    namespace = _text(metadata.get(keys.namespace)) or _text(metadata.get(keys.older_namespace))
    triggers = _items(metadata.get(keys.triggers))
    return GraphTask(
        _text(metadata.get(keys.node)),
        whole(metadata.get(keys.step)),
        namespace or "",
        _items(metadata.get(keys.path)),
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
