"""The page that compares two runs or traces: what got worse or better, and where time moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from aiohttp import web

from trading_graph.otel.report.documents.comparison import (
    ComparisonJson,
    MovedJson,
    NoComparisonJson,
    PathChangeJson,
    PathSideJson,
)
from trading_graph.otel.report.durations import brief, exact
from trading_graph.otel.report.html import Bar, bar
from trading_graph.service.server.api_documents import Identifier, Query
from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.inputs import query_of
from trading_graph.service.server.pages.layout import page, see_other
from trading_graph.service.server.pages.work_list import WorkRow, run_row, trace_row
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.traces_api import compare_ids

_SHOWN = 15
_TWO = "Tick two runs or traces of the list, and no more; then compare them."


class CompareQuery(Query):
    """The ids of the runs or traces on the two sides."""

    base: Identifier
    new: Identifier


@dataclass(frozen=True, slots=True)
class Side:
    """A side of the comparison; `row` is what the work list has of it, None for other traces."""

    id: str
    page: str
    title: str
    row: WorkRow | None


@dataclass(frozen=True, slots=True)
class MovedRow:
    """A place where the time of the critical path moved, with its bar from the middle."""

    place: str
    base: str
    new: str
    difference: str
    bar: Bar


async def show(request: web.Request) -> web.Response:
    """Compare two; those that were ticked are put in the order of their time first."""
    service = request.app[SERVICE]
    if "trace" in request.query:
        ids = request.query.getall("trace")
        if len(ids) != 2 or ids[0] == ids[1]:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _TWO)
        sides = [(await _at(service, id), id) for id in ids]
        base, new = (id for _, id in sorted(sides))
        return see_other(str(request.rel_url.with_query({"base": base, "new": new})))
    if not request.query:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, _TWO)
    query = query_of(request, CompareQuery)
    answer = await compare_ids(service, [query.base], [query.new])
    base_side, new_side = await _side(service, query.base), await _side(service, query.new)
    document = _read(answer)
    return page(
        request,
        "compare.html",
        f"{new_side.title} against {base_side.title}",
        base=base_side,
        new=new_side,
        swapped=f"/compare?base={query.new}&new={query.base}",
        missing=document.missing,
        comparison=document if isinstance(document, ComparisonJson) else None,
        moved=moved_rows(document.moved) if isinstance(document, ComparisonJson) else [],
        paths=path_rows(document.paths) if isinstance(document, ComparisonJson) else [],
    )


def _read(answer: bytes) -> ComparisonJson | NoComparisonJson:
    try:
        return msgspec.json.decode(answer, type=ComparisonJson)
    except msgspec.ValidationError:
        return msgspec.json.decode(answer, type=NoComparisonJson)


async def _at(service: ServiceContext, id: str) -> float:
    """When a run or trace was; one that is not stored counts as the newest."""
    run, verdict = await service.store.run(id), await service.store.verdict(id)
    if run is not None:
        return run.created
    return float("inf") if verdict is None else verdict.started


async def _side(service: ServiceContext, id: str) -> Side:
    run, verdict = await service.store.run(id), await service.store.verdict(id)
    if run is not None:
        return Side(id, f"/runs/{id}", run.title, run_row(run, verdict))
    if verdict is not None:
        return Side(id, f"/traces/{id}", verdict.name, trace_row(verdict))
    return Side(id, f"/traces/{id}", f"trace {id}", None)


def moved_rows(moved: Sequence[MovedJson]) -> list[MovedRow]:
    """The places that moved most: slower to the right of the middle, faster to the left."""
    largest = moved[:_SHOWN]
    most = max((abs(each.difference_s) for each in largest), default=0.0) or 1.0
    return [
        MovedRow(
            each.place,
            brief(each.base_s),
            brief(each.new_s),
            exact(each.difference_s, sign=True),
            _bar(each.difference_s / most),
        )
        for each in largest
    ]


def _bar(share: float) -> Bar:
    start, end = sorted((0.5, 0.5 + share / 2))
    return bar("slower" if share > 0 else "quicker", start, end, 1.0)


def path_rows(paths: Sequence[PathChangeJson]) -> list[tuple[str, ...]]:
    """The call paths that changed, a cell with one value where both sides have the same."""
    changed = [each for each in paths if each.base != each.new][:_SHOWN]
    return [
        (
            each.path,
            *(
                before if before == after else f"{before} → {after}"
                for before, after in zip(_cells(each.base), _cells(each.new), strict=True)
            ),
        )
        for each in changed
    ]


def _cells(side: PathSideJson) -> tuple[str, ...]:
    return (
        f"{side.count:g}",
        "-" if side.median_s is None else brief(side.median_s),
        brief(side.on_path_s),
        f"{side.errors}",
    )
