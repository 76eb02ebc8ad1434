"""The addresses of the pages."""

from aiohttp import web

from trading_graph.service.server.pages import assets, home, login, run_page, traces_page

ROUTES = (
    web.get("/", home.show),
    web.post("/runs", home.start),
    web.get("/runs/{run_id}", run_page.show),
    web.post("/runs/{run_id}/cancel", run_page.cancel),
    web.get("/traces/{trace_id}", traces_page.show),
    web.get(login.PATH, login.show),
    web.post(login.PATH, login.log_in),
    web.post("/logout", login.log_out),
    web.get(assets.PATH, assets.asset),
)

OPEN_PATHS = frozenset({login.PATH, "/logout", assets.PATH})
"""What may be asked for without a token."""
