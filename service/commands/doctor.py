"""`trading-graph doctor`: what prevents a good run, and what to do about it.

It checks backends, spool, clock, model, data and folders. Every check asks once, with a short
timeout, and leaves nothing changed.
"""

import importlib.metadata
import json
import platform
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trading_graph.otel.errors import ExporterSettingsError, TraceError
from trading_graph.otel.export import (
    JAEGER,
    LANGSMITH,
    jaeger_exporter,
    jaeger_is_enabled,
    spool_of,
)
from trading_graph.otel.redaction import process_redactor
from trading_graph.otel.sources.jaeger import JaegerQuery
from trading_graph.service.commands.doctor_data import LastRun, data_document, last_run, show_data
from trading_graph.service.errors import SettingsError
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.langsmith import LangSmithMode, langsmith_mode, langsmith_target
from trading_graph.service.settings import Settings, backend_choice, read_settings

_TIMEOUT_S = 2.0
_SKEW_S = 2.0
_PACKAGES = ("trading-graph", "langgraph", "opentelemetry-sdk", "langsmith", "yfinance")
_JAEGER_VERSION = re.compile(rb'"gitVersion"\s*:\s*"v?([^"]+)"')


class SetupState(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    OFF = "off"
    RED = "red"


@dataclass(frozen=True, slots=True)
class SetupFinding:
    """The result of a check; `advice` says what to do about a red one."""

    check: str
    state: SetupState
    detail: str
    advice: str | None = None


_SIGNS = {SetupState.OK: "[green]✓[/]", SetupState.OFF: "[dim]-[/]", SetupState.RED: "[red]✗[/]"}


def doctor_command(*, as_json: bool) -> ExitCode:
    """Make all checks, print the findings, and return the exit code."""
    redactor = process_redactor()
    last: LastRun | None = None
    try:
        settings = read_settings()
        redactor = process_redactor(settings.secrets)
        findings = examine(settings)
        try:
            last = last_run(settings.out)
            detail = f"{last.run_id}, {last.symbol} as of {last.as_of}"
            findings.append(SetupFinding("last run", SetupState.OK, detail))
        except TraceError as error:
            findings.append(SetupFinding("last run", SetupState.OFF, str(error)))
    except SettingsError as error:
        findings = [SetupFinding("settings", SetupState.RED, str(error), "correct the setting")]
    findings = [
        SetupFinding(each.check, each.state, redactor.text(each.detail), each.advice)
        for each in findings
    ]
    if as_json:
        shown = {
            "schema_version": 1,
            "well": not _red(findings),
            "findings": [
                {
                    "check": each.check,
                    "state": each.state,
                    "found": each.detail,
                    "advice": each.advice,
                }
                for each in findings
            ],
            **data_document(last),
        }
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        _show(findings, last)
    return ExitCode.CHECK_FAILED if _red(findings) else ExitCode.OK


def _red(findings: list[SetupFinding]) -> list[SetupFinding]:
    return [each for each in findings if each.state is SetupState.RED]


def _show(findings: list[SetupFinding], last: LastRun | None) -> None:
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    for each in findings:
        advice = f"\n[yellow]→ {escape(each.advice)}[/]" if each.advice else ""
        table.add_row(_SIGNS[each.state], each.check, f"{escape(each.detail)}{advice}")
    console = Console(file=sys.stdout, highlight=False, emoji=False)
    console.print(table)
    show_data(console, last)
    red = len(_red(findings))
    console.print(f"\n[red]{red} to mend.[/]" if red else "\n[green]All is well.[/]")


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
    yield SetupFinding("versions", SetupState.OK, ", ".join(versions))


def _model(settings: Settings) -> Iterator[SetupFinding]:
    choice = backend_choice(settings, offline=False)
    model = choice.model
    if model is None:
        yield SetupFinding(
            "model", SetupState.OK, f"{choice.model_label}; OPENAI_API_KEY would choose another"
        )
        return
    place = model.base_url or "https://api.openai.com"
    if _listens(place):
        yield SetupFinding(
            "model", SetupState.OK, f"{choice.model_label} at {_host(place)}; it costs money"
        )
    else:
        yield SetupFinding(
            "model",
            SetupState.RED,
            f"{choice.model_label}: nobody answers at {_host(place)}",
            "check OPENAI_BASE_URL and the network, or run with --offline",
        )


def _data(settings: Settings) -> Iterator[SetupFinding]:
    yield SetupFinding("data", SetupState.OK, backend_choice(settings, offline=False).data_label)


def _jaeger(settings: Settings) -> Iterator[SetupFinding]:
    start = "docker compose -f deploy/jaeger.yml up, or OTEL_TRACES_EXPORTER=none to do without"
    try:
        if not jaeger_is_enabled():
            yield SetupFinding("spans to Jaeger", SetupState.OFF, "OTEL_TRACES_EXPORTER=none")
            return
        exporter = jaeger_exporter()
    except ExporterSettingsError as error:
        yield SetupFinding("spans to Jaeger", SetupState.RED, str(error), "correct the variable")
    else:
        if exporter.listens():
            yield SetupFinding("spans to Jaeger", SetupState.OK, f"{exporter.endpoint} answers")
        else:
            detail = f"nobody answers at {exporter.endpoint}"
            yield SetupFinding("spans to Jaeger", SetupState.RED, detail, start)
    url = settings.jaeger_url
    if not JaegerQuery(url).answers():
        advice = f"{start}; TRADING_GRAPH_JAEGER_URL names another address"
        yield SetupFinding(
            "traces from Jaeger", SetupState.RED, f"no Jaeger answers at {url}", advice
        )
        return
    page, skew_s = _ask(url)
    version = _JAEGER_VERSION.search(page)
    detail = f"{url} answers" + (f", version {version[1].decode()}" if version else "")
    yield SetupFinding("traces from Jaeger", SetupState.OK, detail)
    yield from _clock("Jaeger's", skew_s)


def _langsmith(settings: Settings) -> Iterator[SetupFinding]:
    try:
        mode = langsmith_mode(settings, offline=False)
        langsmith_target(settings, mode)
    except SettingsError as error:
        yield SetupFinding("LangSmith", SetupState.RED, str(error), "correct the variable")
        return
    if mode is LangSmithMode.OFF:
        yield SetupFinding("LangSmith", SetupState.OFF, "LANGSMITH_TRACING is not true")
        return
    url, key = settings.langsmith_url, settings.langsmith_api_key
    if key is None:
        yield SetupFinding(
            "LangSmith", SetupState.RED, f"{mode}: there is no key", "set LANGSMITH_API_KEY"
        )
        return
    project = urlencode({"name": settings.langsmith_project, "limit": 1})
    headers = {"x-api-key": key.get_secret_value()}
    request = Request(f"{url.rstrip('/')}/sessions?{project}", headers=headers)
    try:
        _, skew_s = _ask(request)
    except HTTPError as error:
        refused = error.code in (401, 403)
        answer = "refuses the key" if refused else f"answers HTTP {error.code}"
        advice = "set LANGSMITH_API_KEY to a valid one" if refused else "check LANGSMITH_ENDPOINT"
        yield SetupFinding("LangSmith", SetupState.RED, f"{mode}: {url} {answer}", advice)
        return
    except (OSError, ValueError, HTTPException):
        advice = "check LANGSMITH_ENDPOINT and the network, or set LANGSMITH_TRACING=false"
        yield SetupFinding("LangSmith", SetupState.RED, f"{mode}: nobody answers at {url}", advice)
        return
    yield SetupFinding("LangSmith", SetupState.OK, f"{mode}: {url} takes the key")
    yield from _clock("LangSmith's", skew_s)


def _spool(settings: Settings) -> Iterator[SetupFinding]:
    for backend in (JAEGER, LANGSMITH):
        spool = spool_of(settings.spool, backend)
        waiting, evicted = spool.spans, spool.evictions
        check = f"spool for {backend}"
        if evicted:
            detail = f"{waiting} spans wait, {evicted} had to make room"
            advice = "trading-graph replay, then trading-graph replay RUN for runs that lack spans"
            yield SetupFinding(check, SetupState.RED, detail, advice)
        elif waiting:
            detail = f"{waiting} spans wait in {spool.folder}"
            yield SetupFinding(check, SetupState.RED, detail, "trading-graph replay")
        else:
            yield SetupFinding(check, SetupState.OK, "empty, and nothing was dropped")


def _folders(settings: Settings) -> Iterator[SetupFinding]:
    places = (("runs", settings.out), ("log", settings.log_file.parent), ("spool", settings.spool))
    for check, folder in places:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        try:
            with tempfile.NamedTemporaryFile(dir=there):
                yield SetupFinding(check, SetupState.OK, f"{folder} can be written")
        except OSError as error:
            advice = "name another folder; docs/settings.md says how"
            yield SetupFinding(check, SetupState.RED, f"{folder}: {error.strerror}", advice)


def _clock(whose: str, skew_s: float | None) -> Iterator[SetupFinding]:
    if skew_s is None:
        return
    if abs(skew_s) <= _SKEW_S:
        yield SetupFinding("clock", SetupState.OK, f"agrees with {whose}")
    else:
        later = "behind" if skew_s > 0 else "before"
        detail = f"{abs(skew_s):.0f} s {later} {whose}"
        yield SetupFinding("clock", SetupState.RED, detail, "set the clock, for example by NTP")


def _ask(what: str | Request) -> tuple[bytes, float | None]:
    """The answer, and how many seconds the server's clock is ahead of ours."""
    with urlopen(what, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read(2**20)
        dated = answer.headers.get("Date")
    try:
        # The header has whole seconds, cut off: on average half a second is missing.
        return content, parsedate_to_datetime(dated).timestamp() + 0.5 - time.time()
    except (TypeError, ValueError):
        return content, None


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def _listens(url: str) -> bool:
    place = urlsplit(url)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True
