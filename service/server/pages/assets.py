"""What pages load: the style sheet, the script and the icon, each at an address of its content."""

import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files

from aiohttp import web


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
        return f"/static/{digest}/{self.name}"


def _read(package: str, name: str) -> str:
    return (files(package) / name).read_text("utf-8")


_HERE = "trading_graph.service.server.pages"
# The diagnosis page's own style sheet, and what a service has beyond it.
STYLE = Asset(
    "style.css",
    _read("trading_graph.otel.report", "page.css") + "\n" + _read(_HERE, "style.css"),
    "text/css",
)
SCRIPT = Asset("live.js", _read(_HERE, "live.js"), "text/javascript")
ICON = Asset("icon.svg", _read(_HERE, "icon.svg"), "image/svg+xml")

PATH = "/static/{digest}/{name}"
_ALL = {asset.name: asset for asset in (STYLE, SCRIPT, ICON)}


async def asset(request: web.Request) -> web.Response:
    """One of the files, whatever digest is asked for: a page may be older than the service."""
    found = _ALL.get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    return web.Response(
        status=HTTPStatus.OK,
        text=found.content,
        content_type=found.content_type,
        headers={"Cache-Control": _caching(request, found)},
    )


def _caching(request: web.Request, found: Asset) -> str:
    current = request.path == found.path
    return "public, max-age=31536000, immutable" if current else "no-store"
