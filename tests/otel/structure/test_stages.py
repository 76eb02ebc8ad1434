"""Which nodes of a graph ran together, and which followed which."""

import json

import pytest

from tests.otel.structure.graphs import changed, drawn, recorded, renamed
from trading_graph.otel.trace import Attributes, SpanTable
from trading_graph.otel.trace.structure import StageGraph, later_visits, node_tasks, stage_graphs


def the_graph(trace: SpanTable) -> StageGraph:
    (graph,) = stage_graphs(trace)
    return graph


def nodes(graph: StageGraph) -> list[set[str]]:
    return [set(stage.nodes) for stage in graph.stages]


def test_spans_below_a_node_inherit_its_step_and_are_no_tasks() -> None:
    trace = drawn(
        [("agent", 1, 0, 2), ("tools", 2, 2, 5)],
        below={"tools": [("search", {}), ("search", {}), ("search", {})]},
    )
    (tasks,) = node_tasks(trace).values()
    assert [(task.node, len(task.rows)) for task in tasks] == [("agent", 1), ("tools", 1)]


def test_each_send_is_a_task_of_its_own() -> None:
    graph = the_graph(recorded("sends_and_joins"))
    assert [(stage.size, len(stage.nodes)) for stage in graph.stages] == [
        (1, 1),
        (3, 1),
        (1, 1),
        (3, 1),
        (1, 1),
    ]
    sends = [task for stage in graph.stages for visit in stage.visits for task in visit.tasks]
    assert [task.is_send for task in sends] == [False, *[True] * 3, False, *[True] * 3, False]
    assert graph.chains == []


def test_a_subgraph_is_a_graph_of_its_own() -> None:
    outer, *inner = sorted(stage_graphs(recorded("subgraphs")), key=lambda graph: graph.parent)
    assert nodes(outer) == [{"team0", "team1", "team2"}, {"agg"}]
    assert len(inner) == 3
    assert all(len(graph.chains) == 1 for graph in inner)


def test_edges_in_a_row_are_a_chain_and_a_node_that_follows_itself_is_part_of_it() -> None:
    graph = the_graph(recorded("sequence"))
    assert [[visit.node for visit in chain] for chain in graph.chains] == [
        ["q0", "q1", "q2", "q3", "q4"]
    ]
    again = the_graph(drawn([("a", 1, 0, 1), ("a", 2, 1, 2), ("b", 3, 2, 3)]))
    assert [[visit.node for visit in chain] for chain in again.chains] == [["a", "a", "b"]]


def test_a_limit_delays_nodes_of_one_step_and_makes_no_stage() -> None:
    graph = the_graph(recorded("limit"))
    assert [len(stage.nodes) for stage in graph.stages] == [5, 1, 1]


def test_later_visits_are_told_from_the_first() -> None:
    trace = recorded("analyst_tools_analyst")
    again = sorted(later_visits(trace))
    assert sorted(trace.names[row] for row in again) == [
        "fundamentals_analyst",
        "market_analyst",
        "news_analyst",
        "social_analyst",
    ]
    assert min(trace.start[again]) > max(trace.end[[2, 3, 4, 5]])


def test_visits_are_counted_by_names_and_times_where_no_step_is_recorded() -> None:
    trace = recorded("second_visit")
    assert len(later_visits(trace)) == 4
    graph = the_graph(trace)
    assert not graph.is_declared
    assert [len(stage.nodes) for stage in graph.stages] == [1, 4, 4, 4]


def test_spans_of_one_name_one_after_the_other_may_just_have_waited_and_are_no_visits() -> None:
    trace = drawn([("worker", None, n, n + 1) for n in range(5)])
    assert not later_visits(trace)


def test_a_stage_of_several_nodes_is_part_of_no_chain() -> None:
    graph = the_graph(drawn([("a", 1, 0, 2), ("b", 1, 0, 1), ("c", 2, 2, 3), ("a", 3, 3, 4)]))
    assert [[visit.node for visit in chain] for chain in graph.chains] == [["c", "a"]]


def test_a_step_that_is_not_recorded_stands_between() -> None:
    graph = the_graph(drawn([("a", 1, 0, 1), ("c", 3, 2, 3)]))
    assert graph.chains == []


def test_a_graph_that_runs_again_starts_anew() -> None:
    first, second = stage_graphs(
        drawn([("a", 1, 0, 1), ("b", 2, 1, 2), ("a", 1, 2, 3), ("b", 2, 3, 4)])
    )
    assert nodes(first) == nodes(second) == [{"a"}, {"b"}]


@pytest.mark.parametrize("name", ["loops", "shared_tools_node", "second_visit"])
def test_names_do_not_matter_nor_do_units(name: str) -> None:
    trace = recorded(name)
    for other in (changed(trace, scale=1000), renamed(trace)):
        sizes = [
            [[len(stage.nodes) for stage in graph.stages] for graph in stage_graphs(each)]
            for each in (trace, other)
        ]
        assert sizes[0] == sizes[1]
        assert later_visits(other) == later_visits(trace)


@pytest.mark.parametrize("prefix", ["", "langsmith.metadata.", "traceloop.association.properties."])
@pytest.mark.parametrize("name", ["subgraphs", "sends_and_joins", "loops"])
def test_stages_are_the_same_in_every_dialect(name: str, prefix: str) -> None:
    def said(attributes: Attributes) -> Attributes:
        metadata = json.loads(attributes.get("metadata", "{}"))
        return {
            prefix + key: json.dumps(value) if isinstance(value, list) else value
            for key, value in metadata.items()
        }

    trace = recorded(name)
    other = changed(trace, attributes=said)
    assert stage_graphs(other) == stage_graphs(trace)


def test_without_namespaces_the_topmost_span_of_a_node_and_step_is_its_task() -> None:
    def said(attributes: Attributes) -> Attributes:
        metadata = json.loads(attributes.get("metadata", "{}"))
        return {key: metadata[key] for key in ("langgraph_node", "langgraph_step") if metadata}

    trace = recorded("loops")
    bare = changed(trace, attributes=said)
    assert [nodes(graph) for graph in stage_graphs(bare)] == [
        nodes(graph) for graph in stage_graphs(trace)
    ]
