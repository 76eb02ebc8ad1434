"""What every page of the service has: its frame, its links, its times, and how it is answered."""

import datetime
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.service.server.access import ACCESS
from trading_graph.service.server.pages.assets import ICON, SCRIPT, STYLE

# Without a referrer a browser sends `Origin: null` with a form, and no form could be told from a
# foreign one. Other origins still get none.
_HEADERS = {"Referrer-Policy": "same-origin"}


def page(
    request: web.Request,
    title: str,
    body: Markup,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    reload_s: int | None = None,
) -> web.Response:
    """A page as a response; without script it is loaded again every so many seconds."""
    text = f"<!doctype html>\n{_document(request, title, body, reload_s)}\n"
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)


def _document(request: web.Request, title: str, body: Markup, reload_s: int | None) -> Markup:
    again = element("meta", http_equiv="refresh", content=str(reload_s))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"{title} · Trading Graph"),
        element("link", rel="icon", href=ICON.path, type="image/svg+xml"),
        element("link", rel="stylesheet", href=STYLE.path),
        element("script", src=SCRIPT.path, defer=True),
        *([element("noscript", again)] if reload_s else []),
    )
    inside = [
        element("a", "Skip to the content", href="#content", class_="skip"),
        _top(request),
        element(
            "main",
            body,
            element("footer", element("p", "Not investment advice.")),
            id="content",
            tabindex="-1",
        ),
    ]
    return element("html", head, element("body", joined(inside)), lang="en")


def _top(request: web.Request) -> Markup:
    inside = [element("a", "Trading Graph", href="/", class_="brand")]
    access = request.app[ACCESS]
    if access.needs_token and access.allows(request):
        button = element("button", "Log out", type="submit", class_="quiet")
        inside.append(element("form", button, method="post", action="/logout"))
    return element("nav", joined(inside), class_="top", aria_label="Trading Graph")


def see_other(path: str) -> web.Response:
    """Go on at another page of ours, with GET."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": path, **_HEADERS})


def link(text: str, address: str | None, **attributes: object) -> Markup:
    """A link to a path of ours or to a web address; anything else becomes text."""
    if address is None or not (
        address.startswith(("http://", "https://"))
        or (address.startswith("/") and not address.startswith("//"))
    ):
        return element("span", text)
    if not address.startswith("/"):
        attributes["rel"] = "noreferrer"
    return element("a", text, href=address, **attributes)


def links_of(names: Mapping[str, str | None]) -> Markup:
    """Where to go from here."""
    items = (element("li", link(name, address)) for name, address in names.items() if address)
    return element("ul", joined(items), class_="links")


def badge(text: str, kind: str) -> Markup:
    """A short word in a pill: `good`, `warn`, `bad` or `plain`."""
    return element("span", text, class_=f"badge {kind}")


def figure(
    name: str, value: str, note: str = "", *, kind: str = "", **attributes: object
) -> Markup:
    """A number that matters, in a `dl` of class figures."""
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="value", **attributes),
        *([element("dd", note, class_="note")] if note else []),
        class_=f"figure {kind}".strip(),
    )


def moment(seconds: float) -> Markup:
    """A time of day with its date, UTC."""
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return element("time", f"{at:%Y-%m-%d %H:%M:%S}", datetime=at.isoformat(timespec="seconds"))


def spoken(agent: str) -> str:
    """An agent's name as people say it."""
    return agent.replace("_", " ")
