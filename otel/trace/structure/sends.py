"""Tasks of one node that were sent one by one, as branches of their own.

LangGraph's Send starts a node once for each piece of work, with that piece as its input. Where
nothing but such tasks runs in two steps in succession, each of the second was sent by one of the
first, and had to wait for all of them.
"""

from itertools import pairwise

from msgspec.structs import replace

from trading_graph.otel.trace.structure.stages import Stage, StageGraph, Visit, follows


def tasks_apart(graph: StageGraph) -> StageGraph:
    """The same graph; where tasks sent others, each task is a visit of a node of its own."""
    apart = {
        id(stage)
        for before, after in pairwise(graph.stages)
        if _is_sent(before) and _is_sent(after) and follows(before, after)
        for stage in (before, after)
    }
    if not apart:
        return graph
    stages = tuple(_apart(stage) if id(stage) in apart else stage for stage in graph.stages)
    return replace(graph, stages=stages)


def _is_sent(stage: Stage) -> bool:
    """Whether a stage is two or more tasks, all of them sent, some of them of one node."""
    is_several = 2 <= stage.size > len(stage.visits)
    return is_several and all(task.is_send for visit in stage.visits for task in visit.tasks)


def _apart(stage: Stage) -> Stage:
    return Stage(
        stage.step,
        tuple(
            Visit(f"{visit.node} {number} of step {stage.step}", 0, (task,))
            for visit in stage.visits
            for number, task in enumerate(visit.tasks, 1)
        ),
    )
