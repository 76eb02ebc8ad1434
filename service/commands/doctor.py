"""`trading-graph doctor`: what prevents a good run, and what to do about it.

It checks backends, spool, clock, model, data and folders. Every check asks once, with a short
timeout, and leaves nothing changed.
"""

import importlib.metadata
import platform
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request

import click
from msgspec.structs import replace
from rich.console import Console

from trading_graph.graph.backend_choice import ModelService
from trading_graph.otel.errors import ExporterSettingsError, TraceError
from trading_graph.otel.export import (
    JAEGER,
    LANGSMITH,
    jaeger_exporter,
    jaeger_is_enabled,
    spool_of,
)
from trading_graph.otel.redaction import process_redactor
from trading_graph.otel.redirects import same_host_opener
from trading_graph.otel.report.documents.document import encode
from trading_graph.otel.sources.jaeger_query import JaegerQuery
from trading_graph.service.commands import doctor_model
from trading_graph.service.commands.doctor_document import (
    SetupFinding,
    SetupState,
    doctor_document,
    last_run,
    show,
)
from trading_graph.service.errors import SettingsError
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.langsmith import LangSmithMode, langsmith_mode, langsmith_target
from trading_graph.service.settings import Settings, backend_choice, read_settings

_TIMEOUT_S = 2.0
_SKEW_S = 2.0
_PACKAGES = ("trading-graph", "langgraph", "opentelemetry-sdk", "langsmith", "yfinance")
_JAEGER_VERSION = re.compile(rb'"gitVersion"\s*:\s*"v?([^"]+)"')


def doctor_command(*, model: bool, forget_model: bool, as_json: bool) -> ExitCode:
    """Make all checks, print the findings, and return the exit code.

    `forget_model` forgets first what was learned of the models; `model` asks them.
    """
    redactor, last = process_redactor(), None
    try:
        settings = read_settings()
        redactor = settings.redactor
        service = backend_choice(settings, offline=False).model
        forgotten = list(doctor_model.forget(service)) if service and forget_model else []
        findings = forgotten + examine(settings)
        if model:
            findings += _answers(service)
        try:
            last = last_run(settings.out)
            findings.append(_ok("last run", f"{last.run_id}, {last.symbol} as of {last.as_of}"))
        except TraceError as error:
            findings.append(_off("last run", str(error)))
    except SettingsError as error:
        findings = [_red("settings", str(error), "correct the setting")]
    document = doctor_document(
        [replace(each, found=redactor.text(each.found)) for each in findings], last
    )
    if as_json:
        click.echo(encode(document))
    else:
        show(document, Console(file=sys.stdout, highlight=False, emoji=False))
    return ExitCode.OK if document.well else ExitCode.CHECK_FAILED


def _ok(check: str, found: str) -> SetupFinding:
    return SetupFinding(check=check, state=SetupState.OK, found=found)


def _off(check: str, found: str) -> SetupFinding:
    return SetupFinding(check=check, state=SetupState.OFF, found=found)


def _red(check: str, found: str, advice: str) -> SetupFinding:
    return SetupFinding(check=check, state=SetupState.RED, found=found, advice=advice)


def _answers(service: ModelService | None) -> list[SetupFinding]:
    if service is None:
        advice = "set OPENAI_API_KEY or OPENAI_BASE_URL"
        return [_red("model", "the offline rules serve: there is no model to ask", advice)]
    return doctor_model.ask(service)


def examine(settings: Settings) -> list[SetupFinding]:
    """Make every check; they run at once, since most wait for a network."""
    checks: tuple[Callable[[Settings], Iterator[SetupFinding]], ...] = (
        _versions,
        _model,
        _data,
        _jaeger,
        _langsmith,
        _spool,
        _folders,
    )
    with ThreadPoolExecutor(len(checks)) as pool:
        return [
            each
            for findings in pool.map(lambda check: list(check(settings)), checks)
            for each in findings
        ]


def _versions(settings: Settings) -> Iterator[SetupFinding]:
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    yield _ok("versions", ", ".join(versions))


def _model(settings: Settings) -> Iterator[SetupFinding]:
    choice = backend_choice(settings, offline=False)
    if choice.model is None:
        yield _ok("model", f"{choice.model_label}; OPENAI_API_KEY would choose another")
        return
    place = urlsplit(choice.model.address)
    host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((host, port), timeout=_TIMEOUT_S).close()
        yield _ok("model", f"{choice.model_label} at {host}; it costs money")
        yield from doctor_model.profile_findings(choice.model)
    except OSError:
        advice = "check OPENAI_BASE_URL and the network, or run with --offline"
        yield _red("model", f"{choice.model_label}: nobody answers at {host}", advice)


def _data(settings: Settings) -> Iterator[SetupFinding]:
    yield _ok("data", backend_choice(settings, offline=False).data_label)


def _jaeger(settings: Settings) -> Iterator[SetupFinding]:
    start = "docker compose -f deploy/jaeger.yml up, or OTEL_TRACES_EXPORTER=none to do without"
    check = "spans to Jaeger"
    try:
        if not jaeger_is_enabled():
            yield _off(check, "OTEL_TRACES_EXPORTER=none")
            return
        exporter = jaeger_exporter()
        if exporter.listens():
            yield _ok(check, f"{exporter.endpoint} answers")
        else:
            yield _red(check, f"nobody answers at {exporter.endpoint}", start)
    except ExporterSettingsError as error:
        yield _red(check, str(error), "correct the variable")
    check, url = "traces from Jaeger", settings.jaeger_url
    if not JaegerQuery(url).answers():
        advice = f"{start}; TRADING_GRAPH_JAEGER_URL names another address"
        yield _red(check, f"no Jaeger answers at {url}", advice)
        return
    page, skew_s = _ask(url)
    version = _JAEGER_VERSION.search(page)
    yield _ok(check, f"{url} answers" + (f", version {version[1].decode()}" if version else ""))
    yield from _clock("Jaeger's", skew_s)


def _langsmith(settings: Settings) -> Iterator[SetupFinding]:
    check = "LangSmith"
    try:
        mode = langsmith_mode(settings, offline=False)
        langsmith_target(settings, mode)
    except SettingsError as error:
        yield _red(check, str(error), "correct the variable")
        return
    url, key = settings.langsmith_url, settings.langsmith_api_key
    if mode is LangSmithMode.OFF:
        yield _off(check, "LANGSMITH_TRACING is not true")
        return
    if key is None:
        yield _red(check, f"{mode}: there is no key", "set LANGSMITH_API_KEY")
        return
    project = urlencode({"name": settings.langsmith_project, "limit": 1})
    headers = {"x-api-key": key.get_secret_value()}
    try:
        _, skew_s = _ask(Request(f"{url.rstrip('/')}/sessions?{project}", headers=headers))
    except HTTPError as error:
        if error.code in (401, 403):
            advice = "set LANGSMITH_API_KEY to a valid one"
            yield _red(check, f"{mode}: {url} refuses the key", advice)
        else:
            answer = f"{mode}: {url} answers HTTP {error.code}"
            yield _red(check, answer, "check LANGSMITH_ENDPOINT")
    except (OSError, ValueError, HTTPException):
        advice = "check LANGSMITH_ENDPOINT and the network, or set LANGSMITH_TRACING=false"
        yield _red(check, f"{mode}: nobody answers at {url}", advice)
    else:
        yield _ok(check, f"{mode}: {url} takes the key")
        yield from _clock("LangSmith's", skew_s)


def _spool(settings: Settings) -> Iterator[SetupFinding]:
    for backend in (JAEGER, LANGSMITH):
        spool = spool_of(settings.spool, backend)
        waiting, evicted = spool.spans, spool.evictions
        check = f"spool for {backend}"
        if evicted:
            advice = "trading-graph replay, then trading-graph replay RUN for runs that lack spans"
            yield _red(check, f"{waiting} spans wait, {evicted} had to make room", advice)
        elif waiting:
            yield _red(check, f"{waiting} spans wait in {spool.folder}", "trading-graph replay")
        else:
            yield _ok(check, "empty, and nothing was dropped")


def _folders(settings: Settings) -> Iterator[SetupFinding]:
    places = (("runs", settings.out), ("log", settings.log_file.parent), ("spool", settings.spool))
    for check, folder in places:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        try:
            with tempfile.NamedTemporaryFile(dir=there):
                yield _ok(check, f"{folder} can be written")
        except OSError as error:
            advice = "name another folder; docs/settings.md says how"
            yield _red(check, f"{folder}: {error.strerror}", advice)


def _clock(whose: str, skew_s: float | None) -> Iterator[SetupFinding]:
    if skew_s is None:
        return
    if abs(skew_s) <= _SKEW_S:
        yield _ok("clock", f"agrees with {whose}")
    else:
        later = "behind" if skew_s > 0 else "before"
        advice = "set the clock, for example by NTP"
        yield _red("clock", f"{abs(skew_s):.0f} s {later} {whose}", advice)


def _ask(what: str | Request) -> tuple[bytes, float | None]:
    """The answer, and how many seconds the server's clock is ahead of ours."""
    with same_host_opener().open(what, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read(2**20)
        dated = answer.headers.get("Date")
    try:
        # The header has whole seconds, cut off: on average half a second is missing.
        return content, parsedate_to_datetime(dated).timestamp() + 0.5 - time.time()
    except (TypeError, ValueError):
        return content, None
