"""How much later a span could have ended without the run ending later."""

from collections.abc import Mapping

from trading_graph.otel.diagnosis.schedule import Model, Schedule

_NEVER = 2**62


def slack_ns(schedule: Schedule) -> Mapping[int, int]:
    """The slack of every span that was waited for, by row, in nanoseconds; 0 on the path.

    Backwards over the observed order: a span may end as late as every sibling that waited for it,
    and its parent, can bear. Spans that nobody waited for are left out.
    """
    tree = schedule.tree
    slack = {tree.run: 0}
    for parent in tree.rows:
        if parent not in slack or not tree.children(parent):
            continue
        family = schedule.family(parent)
        (order,) = family.orders(Model.OBSERVED)
        # How late each child may start and end, from the last to the first: who waits for a child
        # are those whose cut is not before its end.
        room = family.length - family.tail
        latest_start = [0] * len(family.rows)
        by_cut = sorted(range(len(family.rows)), key=lambda n: (order.cut[n], n))
        least = _NEVER
        for number in sorted(
            range(len(family.rows)), key=lambda n: (family.end[n], family.start[n], n), reverse=True
        ):
            # Of spans without length at one time each waits for those before it.
            after = (
                family.end[number],
                number if family.start[number] == family.end[number] else -1,
            )
            while by_cut and (order.cut[by_cut[-1]], by_cut[-1]) > after:
                later = by_cut.pop()
                least = min(least, latest_start[later] - order.gap[later])
            joined = family.waited_for[number]
            latest = max(min(least, room) if joined else least, family.end[number])
            latest_start[number] = latest - (family.end[number] - family.start[number])
            if joined:
                slack[family.rows[number]] = slack[parent] + latest - family.end[number]
    return slack
