"""Stand-in until the vocabularies are merged."""
from trading_graph.otel.vocabularies import Role, agent_name, graph_task, role  # noqa: F401


def step(attributes):  # type: ignore
    task = graph_task(attributes)
    return None if task is None else task.step
