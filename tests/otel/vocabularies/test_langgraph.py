"""LangGraph's metadata say the same in every dialect."""

from typing import Any

import pytest

from trading_graph.otel.vocabularies import graph_task

OUTER, INNER = "tools:4c74", "tools:4c74|lookup:9d2e"
FIELDS = {
    "langgraph_node": "lookup",
    "langgraph_step": 2,
    "langgraph_checkpoint_ns": INNER,
    "checkpoint_ns": OUTER,
}
JSON = (
    '{"langgraph_node": "lookup", "langgraph_step": 2, "langgraph_triggers": ["__pregel_push"], '
    f'"langgraph_path": ["__pregel_push", 0, false], "langgraph_checkpoint_ns": "{INNER}"}}'
)
DIALECTS: dict[str, dict[str, Any]] = {
    "flat": {
        **FIELDS,
        "langgraph_triggers": ["__pregel_push"],
        "langgraph_path": ["__pregel_push", 0, False],
    },
    "OpenInference": {"metadata": JSON},
    "LangSmith": {
        **{f"langsmith.metadata.{key}": value for key, value in FIELDS.items()},
        "langsmith.metadata.langgraph_triggers": '["__pregel_push"]',
        "langsmith.metadata.langgraph_path": '["__pregel_push",0,false]',
    },
    "OpenLLMetry": {
        **{f"traceloop.association.properties.{key}": value for key, value in FIELDS.items()},
        "traceloop.association.properties.langgraph_triggers": "['__pregel_push']",
        "traceloop.association.properties.langgraph_path": "('__pregel_push', 0, False)",
    },
    "steps as texts": {
        **{f"langsmith.metadata.{key}": str(value) for key, value in FIELDS.items()},
        "langsmith.metadata.langgraph_triggers": "('__pregel_push',)",
        "langsmith.metadata.langgraph_path": "('__pregel_push', 0, False)",
    },
}


@pytest.mark.parametrize("attributes", DIALECTS.values(), ids=DIALECTS.keys())
def test_every_dialect_gives_the_same_task(attributes: dict[str, Any]) -> None:
    task = graph_task(attributes)
    assert task is not None
    assert task == graph_task(DIALECTS["flat"])
    assert (task.node, task.step, task.triggers) == ("lookup", 2, ("__pregel_push",))
    assert task.path == ("__pregel_push", 0, False)
    assert task.is_send


def test_the_last_bar_separates_the_enclosing_graph() -> None:
    inner = graph_task({"langgraph_step": 1, "langgraph_checkpoint_ns": INNER})
    outer = graph_task({"langgraph_step": 1, "checkpoint_ns": OUTER})
    assert inner is not None
    assert outer is not None
    assert (inner.graph, outer.graph) == (OUTER, "")
    assert not inner.is_send


def test_our_own_attributes_name_node_and_step() -> None:
    task = graph_task({"trading.langgraph.node": "n", "trading.langgraph.step": 3})
    assert task is not None
    assert (task.node, task.step, task.namespace, task.path) == ("n", 3, "", ())


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"metadata": '{"ls_integration": "langchain_create_agent"}'},
        {"metadata": "no JSON, and langgraph_node"},
        {"metadata": '["langgraph_node"]'},
        {"metadata": 7},
    ],
)
def test_what_is_no_task_has_none(attributes: dict[str, Any]) -> None:
    assert graph_task(attributes) is None


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('false')", "(" * 5000, "[" * 100_000, "", "'a' 'b", "{1: 2}", "\0"],
)
def test_odd_texts_are_no_lists(text: str) -> None:
    task = graph_task({"langgraph_node": "n", "langgraph_path": text, "langgraph_triggers": text})
    assert task is not None
    assert (task.path, task.triggers) == ((), ())


@pytest.mark.parametrize("step", ["two", 1.5, True, [1], None, float("nan")])
def test_what_is_no_whole_number_is_no_step(step: object) -> None:
    task = graph_task({"langgraph_node": "n", "langgraph_step": step})
    assert task is not None
    assert task.step is None
