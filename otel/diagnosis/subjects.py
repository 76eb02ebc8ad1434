"""What compared runs worked on, by the attributes of their spans and processes."""

from collections.abc import Iterator, Sequence, Set

from trading_graph.otel.trace import SpanTable

_SERVICE = "service.name"
_OWN = "trading."
_SHOWN = 3
_LONGEST = 40


def subject_notes(
    base: Sequence[tuple[SpanTable, int]], new: Sequence[tuple[SpanTable, int]]
) -> Iterator[str]:
    """A sentence for each subject that differs between two sides, where both sides name theirs.

    A run is its trace and the row of its span.
    """
    for key in (_SERVICE, *sorted(_own_keys(base) & _own_keys(new))):
        before, after = _values(base, key), _values(new, key)
        if before and after and before != after:
            name = key.removeprefix(_OWN).removesuffix(".name").replace("_", " ").replace(".", " ")
            yield (
                f"The {name} is not the same: {_listed(before)} before, {_listed(after)} now; what "
                "changed may come from that."
            )


def _own_keys(side: Sequence[tuple[SpanTable, int]]) -> set[str]:
    """The attributes of our own runs that say in words what they worked on, and are no ids."""
    return {
        key
        for trace, row in side
        for key, value in trace.attributes(row).items()
        if key.startswith(_OWN) and isinstance(value, str) and not key.endswith((".id", "hash"))
    }


def _values(side: Sequence[tuple[SpanTable, int]], key: str) -> set[str]:
    values = (trace.attributes(row).get(key, trace.resources[row].get(key)) for trace, row in side)
    return {str(value) for value in values if value is not None}


def _listed(values: Set[str]) -> str:
    shown = [
        "".join(each if each.isprintable() else "?" for each in value[:_LONGEST])
        for value in sorted(values)[:_SHOWN]
    ]
    return ", ".join(shown) + (", ..." if len(values) > _SHOWN else "")
