"""As much of LangSmith's API as its client needs to deliver runs and to read them back.

Spans that come over OTLP become runs as its documents say ("Trace with OpenTelemetry", and the
SDK's `langsmith_run_id_from_otel_span_id`), and where these are silent, with as little as may be:
all metadata are texts, times are cut to microseconds, links, kinds and events are gone, only an
`exception` event makes an error, and a run whose parent never came is not there.
"""

import datetime
import email.parser
import email.policy
import json
import re
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web
from langsmith.integrations.otel import langsmith_run_id_from_otel_span_id
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from trading_graph.toolkit.loopback import LoopbackServer

PAGE = 100
TENANT = "11111111-1111-4111-8111-111111111111"
PROJECT = "11111111-1111-4111-8111-111111111111"

_METADATA = "langsmith.metadata."
_HAS_METADATA = re.compile(r'and\(eq\(metadata_key, "(.+?)"\), eq\(metadata_value, "(.+?)"\)\)')


class LangSmithServer:
    """Keeps the runs that are posted; answers queries by trace id or by metadata in pages.

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
        app.router.add_post("/otel/v1/traces", self._take_spans)
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
        known = {"start_time": "2026-01-01T00:00:00", "reference_dataset_id": None}
        return web.json_response([{**project, **known}])

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

    async def _take_spans(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    run = _run_of(span)
                    self.runs[run["id"]] = run
        return web.Response()

    def _runs(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        if "trace" in asked:
            return [run for run in self.runs.values() if self._trace_of(run) == asked["trace"]]
        wanted = _HAS_METADATA.fullmatch(asked["filter"])
        assert wanted is not None, asked
        assert asked["session"] == [PROJECT]
        return [
            run
            for run in self.runs.values()
            if run.get("extra", {}).get("metadata", {}).get(wanted[1]) == wanted[2]
            and self._trace_of(run)
        ]

    def _trace_of(self, run: dict[str, Any]) -> str | None:
        """The id of the root run; None while a run between them has not come."""
        if "trace_id" in run:
            known: str = run["trace_id"]
            return known
        parent: str | None = run["parent_run_id"]
        if parent is None:
            root: str = run["id"]
            return root
        return self._trace_of(self.runs[parent]) if parent in self.runs else None

    async def _query(self, request: web.Request) -> web.Response:
        self.queries += 1
        self.keys.add(request.headers.get("x-api-key"))
        if self.page is not None:
            return web.Response(text=self.page, content_type="text/html", status=self.status)
        if self.status != 200:
            return web.json_response({"detail": "no"}, status=self.status)
        asked = await request.json()
        begin = int(asked.get("cursor") or 0)
        found = self._runs(asked)
        runs = [
            {
                "session_id": PROJECT,
                "status": "success",
                **run,
                "trace_id": self._trace_of(run),
            }
            for run in found[begin : begin + PAGE]
        ]
        selected = [
            {key: value for key, value in run.items() if key in asked["select"]} for run in runs
        ]
        more = begin + PAGE < len(found)
        return web.json_response(
            {"runs": selected, "cursors": {"next": str(begin + PAGE) if more else None}}
        )


def _run_of(span: Span) -> dict[str, Any]:
    said = {each.key: _text(each.value) for each in span.attributes}
    metadata = {
        key.removeprefix(_METADATA): value
        for key, value in said.items()
        if key.startswith(_METADATA)
    }
    failed = [event for event in span.events if event.name == "exception"]
    described = {each.key: _text(each.value) for event in failed for each in event.attributes}
    run_id = str(langsmith_run_id_from_otel_span_id(span.span_id))
    return {
        "id": run_id,
        "parent_run_id": str(langsmith_run_id_from_otel_span_id(span.parent_span_id))
        if span.parent_span_id
        else None,
        "name": said.get("langsmith.trace.name", span.name),
        "run_type": said.get("langsmith.span.kind", "chain"),
        "start_time": _time(span.start_time_unix_nano),
        "end_time": _time(span.end_time_unix_nano),
        "dotted_order": f"{span.start_time_unix_nano}{uuid.UUID(run_id)}",
        "status": "error" if failed else "success",
        "error": described.get("exception.message", "") if failed else None,
        "prompt_tokens": said.get("gen_ai.usage.input_tokens"),
        "completion_tokens": said.get("gen_ai.usage.output_tokens"),
        "extra": {"metadata": metadata},
    }


def _text(value: AnyValue) -> str:
    which = value.WhichOneof("value")
    return str(getattr(value, which)) if which else ""


def _time(nanoseconds: int) -> str:
    whole, rest = divmod(nanoseconds // 1000, 1_000_000)
    moment = datetime.datetime.fromtimestamp(whole, datetime.UTC).replace(microsecond=rest)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds")
