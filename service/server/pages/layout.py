"""What every page of the service has: its templates, what it loads, and how it is answered."""

import datetime
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from aiohttp import web
from jinja2 import ChoiceLoader, PackageLoader, PrefixLoader, pass_context
from jinja2.runtime import Context

from trading_graph.graph.gate_loader import time_limit_s
from trading_graph.graph.price_text import money_text
from trading_graph.otel.report import html as report_html
from trading_graph.otel.verdict import Strength
from trading_graph.otel.visible import visible
from trading_graph.service.server.access import ACCESS
from trading_graph.service.server.base_path import address

_PACKAGE = "trading_graph.service.server.pages"
_STATIC = "/static"
# Without a referrer a browser sends `Origin: null` with a form, and no form could be told from a
# foreign one. Other origins still get none.
_HEADERS = {"Referrer-Policy": "same-origin"}


def spoken(agent: str) -> str:
    """An agent's name as people say it."""
    return agent.replace("_", " ")


def utc(seconds: float) -> datetime.datetime:
    """A moment of the epoch's clock."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def outcome(passed: bool | None) -> tuple[str, str]:
    """A verdict in a word, and the kind of its badge."""
    if passed is None:
        return "no verdict", "plain"
    return ("passed", "good") if passed else ("failed", "bad")


_GRADES = {
    Strength.PROVEN: "good",
    Strength.OVERLAPPING: "warn",
    Strength.SUSPICIOUS: "bad",
    Strength.SERIAL: "bad",
    Strength.NOT_APPLICABLE: "plain",
    "simulated": "plain",
}


def grade(text: str) -> tuple[str, str, str]:
    """A strength in a word, the kind of its badge, and its reason; what has no word is a reason."""
    word, _, reason = text.partition(": ")
    kind = _GRADES.get(word, "")
    return (word, kind, reason) if kind else ("", "", text)


def away(level: float, base: float) -> str:
    """How far a level is from another, in per cent of it."""
    return f"{(level - base) / base:+.1%}".replace("%", " %")


def money(price: float, currency: str) -> str:
    """A price with its currency, and commas between the thousands."""
    return money_text(price, currency, thousands=True)


def is_linkable(target: str | None) -> bool:
    """Whether it is a path of ours or a web address; nothing else may become a link."""
    if target is None:
        return False
    return is_external(target) or (target.startswith("/") and not target.startswith("//"))


def is_external(target: str) -> bool:
    """Whether an address leads to another site."""
    return target.startswith(("http://", "https://"))


@pass_context  # else one of a path that stands in a template would be made when that is compiled
def _address(_: Context, path: str) -> str:
    return address(path)


# The templates of the service, and those of reports below `report/`.
ENVIRONMENT = report_html.environment(
    ChoiceLoader(
        [
            PackageLoader(_PACKAGE),
            PrefixLoader({"report": PackageLoader(report_html.PACKAGE)}),
        ]
    )
)
ENVIRONMENT.filters.update(
    address=_address, away=away, grade=grade, money=money, outcome=outcome, spoken=spoken, utc=utc
)
ENVIRONMENT.tests.update(external=is_external, linkable=is_linkable)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages load; `path` changes with its content, so it may be kept for long."""

    name: str
    content: str
    content_type: str

    @property
    def path(self) -> str:
        """Where it is served."""
        digest = hashlib.sha256(self.content.encode()).hexdigest()[:16]
        return f"{_STATIC}/{digest}/{self.name}"


def _read(name: str) -> str:
    return (files(_PACKAGE) / name).read_text("utf-8")


# The style sheet of reports, and what a service has beyond it.
STYLE = Asset("style.css", report_html.style_sheet() + "\n" + _read("style.css"), "text/css")
SCRIPT = Asset("live.js", _read("live.js"), "text/javascript")
FEED = Asset("feed.js", _read("feed.js"), "text/javascript")
TRACE_STYLE = Asset("trace_view.css", _read("trace_view.css"), "text/css")


def _module(name: str, *imports: Asset) -> Asset:
    """A script that imports others by their own paths, seen from its own: all are kept for long."""
    content = _read(name)
    for each in imports:
        content = content.replace(f"./{each.name}", f"..{each.path.removeprefix(_STATIC)}")
    return Asset(name, content, "text/javascript")


_TRACE_PARTS = _module("trace_parts.js")
_TRACE_PANEL = _module("trace_panel.js", _TRACE_PARTS)
_TRACE_WHAT_IF = _module("trace_what_if.js", _TRACE_PARTS)
TRACE_SCRIPT = _module("trace_view.js", _TRACE_PARTS, _TRACE_PANEL, _TRACE_WHAT_IF)
ICON = Asset("icon.svg", _read("icon.svg"), "image/svg+xml")

ASSET_PATH = f"{_STATIC}/{{digest}}/{{name}}"
_ASSETS = {
    asset.name: asset
    for asset in (
        STYLE,
        FEED,
        SCRIPT,
        TRACE_STYLE,
        TRACE_SCRIPT,
        _TRACE_PANEL,
        _TRACE_PARTS,
        _TRACE_WHAT_IF,
        ICON,
    )
}
ENVIRONMENT.globals.update(
    style=STYLE.path,
    script=SCRIPT.path,
    feed=FEED.path,
    trace_style=TRACE_STYLE.path,
    trace_script=TRACE_SCRIPT.path,
    icon=ICON.path,
    limit_s=time_limit_s(),
)
# Compiled now: reading a template later would hold the loop that runs live on.
for _name in ENVIRONMENT.list_templates(extensions=["html"]):
    if "/" not in _name or _name in ("report/charts.html", "report/parts.html"):
        ENVIRONMENT.get_template(_name)


async def show_asset(request: web.Request) -> web.Response:
    """One of the files, whatever digest is asked for: a page may be older than the service."""
    asset = _ASSETS.get(request.match_info["name"])
    if asset is None:
        raise web.HTTPNotFound
    current = request.path == asset.path
    caching = "public, max-age=31536000, immutable" if current else "no-store"
    return web.Response(
        status=HTTPStatus.OK,
        text=asset.content,
        content_type=asset.content_type,
        headers={"Cache-Control": caching},
    )


def render(template: str, **view: Any) -> str:
    """A template, or a part of a page, with what it shows."""
    return visible(ENVIRONMENT.get_template(template).render(view))


def page(
    request: web.Request,
    template: str,
    title: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    reload_s: int | None = None,
    **view: Any,
) -> web.Response:
    """A page as a response; without script it is loaded again every so many seconds."""
    access = request.app[ACCESS]
    text = render(
        template,
        title=title,
        reload_s=reload_s,
        logged_in=access.needs_token and access.allows(request),
        **view,
    )
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)


def see_other(path: str) -> web.Response:
    """Go on at another page of ours, with GET."""
    headers = {"Location": address(path), **_HEADERS}
    return web.Response(status=HTTPStatus.SEE_OTHER, headers=headers)
