"""The page of a trace that is no run of ours: its verdict, as it is kept."""

from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.report.markup import element, joined
from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import id_of
from trading_graph.service.server.pages.layout import (
    badge,
    figure,
    links_of,
    moment,
    page,
    see_other,
)
from trading_graph.service.server.pages.verdict_view import outcome, verdict_section
from trading_graph.service.server.problems import Problem


async def show(request: web.Request) -> web.Response:
    """The verdict on a trace; a run has a page of its own."""
    service, wanted = request.app[SERVICE], id_of(request, "trace_id")
    if await service.store.run(wanted) is not None:
        return see_other(f"/runs/{wanted}")
    found = await service.store.verdict(wanted)
    if found is None:
        raise Problem(HTTPStatus.NOT_FOUND, "No trace of this id was judged here.")
    figures = [] if found.seconds is None else [figure("took", f"{found.seconds:.2f} s")]
    jaeger = f"{service.settings.shown_jaeger}/trace/{found.trace_id}"
    header = element(
        "header",
        element("p", f"Trace of {found.service}", class_="kicker"),
        element("h1", found.name),
        element(
            "p",
            badge(*outcome(found.passed)),
            " started ",
            moment(found.started),
            " UTC, judged ",
            moment(found.judged),
            class_="headline",
        ),
        *([element("dl", joined(figures), class_="figures")] if figures else []),
        links_of({"Jaeger": jaeger}),
    )
    return page(request, found.name, joined([header, verdict_section(found.document)]))
