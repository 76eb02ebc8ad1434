"""The sources of a decision as a table: what each gave, how new that was, when it was fetched."""

from collections.abc import Iterable

from trading_graph.toolkit.source_use import SourceUse

SOURCE_HEAD = ("Data", "Of", "Source", "Newest", "Fetched")


def source_rows(uses: Iterable[SourceUse]) -> list[tuple[str, ...]]:
    """A row for each answer that served."""
    return [
        (
            use.data,
            use.subject,
            use.source,
            "none" if use.newest is None else f"{use.newest_is} {use.newest}",
            "" if use.retrieved is None else f"{use.retrieved:%Y-%m-%d %H:%M} UTC",
        )
        for use in uses
    ]
