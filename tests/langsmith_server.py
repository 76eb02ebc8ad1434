"""As much of LangSmith's API as its client needs to deliver runs and to read them back."""

import email.parser
import email.policy
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from toolkit.loopback import LoopbackServer

PAGE = 100
TENANT = "11111111-1111-4111-8111-111111111111"
PROJECT = "11111111-1111-4111-8111-111111111111"


class LangSmithServer:
    """Keeps the runs that are posted; answers queries by trace id in pages.

    `status` is what queries are answered with; `page` a text that stands in for the answer;
    `bodies` are those of the posts, inflated.
    """

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.status = 200
        self.page: str | None = None
        self.queries = 0
        self.keys: set[str | None] = set()
        self.bodies: list[bytes] = []

    @property
    def run_ids(self) -> set[str]:
        """The ids of the runs, in hexadecimal."""
        return {run_id.replace("-", "") for run_id in self.runs}

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on loopback; gives the URL."""
        server = LoopbackServer(self.make_app)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()

    def make_app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/info", self._info)
        app.router.add_post("/runs/multipart", self._post)
        app.router.add_post("/runs/query", self._query)
        app.router.add_get("/sessions", self._project)
        return app

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "batch_ingest_config": {
                    "use_multipart_endpoint": True,
                    "size_limit": 100,
                    "size_limit_bytes": 20_971_520,
                    "scale_up_nthreads_limit": 4,
                    "scale_up_qsize_trigger": 1000,
                },
                "instance_flags": {"zstd_compression_enabled": False},
            }
        )

    async def _project(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.json_response({"detail": "no"}, status=self.status)
        project = {"id": PROJECT, "tenant_id": TENANT, "name": request.query["name"]}
        return web.json_response([{**project, "start_time": "2026-01-01T00:00:00"}])

    async def _post(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("content-encoding") == "gzip":
            body = zlib.decompress(body, 31)
        self.bodies.append(body)
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.default).parsebytes(head + body)
        for part in message.iter_parts():
            name = re.search(r'name="?([^";]+)', str(part["content-disposition"]))
            if name is None:
                continue
            _, run_id, *field = name[1].split(".")
            payload = part.get_payload(decode=True)
            content = json.loads(payload if isinstance(payload, bytes) else b"{}")
            run = self.runs.setdefault(run_id, {})
            if field:
                run[field[0]] = content
            else:
                run.update({key: value for key, value in content.items() if value is not None})
        return web.json_response({}, status=202)

    async def _query(self, request: web.Request) -> web.Response:
        self.queries += 1
        self.keys.add(request.headers.get("x-api-key"))
        if self.page is not None:
            return web.Response(text=self.page, content_type="text/html", status=self.status)
        if self.status != 200:
            return web.json_response({"detail": "no"}, status=self.status)
        asked = await request.json()
        begin = int(asked.get("cursor") or 0)
        found = [run for run in self.runs.values() if run.get("trace_id") == asked["trace"]]
        runs = [
            {"session_id": PROJECT, "status": "success", **{key: run.get(key) for key in run}}
            for run in found[begin : begin + PAGE]
        ]
        selected = [
            {key: value for key, value in run.items() if key in asked["select"]} for run in runs
        ]
        more = begin + PAGE < len(found)
        return web.json_response(
            {"runs": selected, "cursors": {"next": str(begin + PAGE) if more else None}}
        )
