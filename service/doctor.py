"""What stands in the way of a good run: backends, spool, clock, model, data, folders.

Every check asks once, with a short timeout, and changes nothing that it does not put back.
"""

import importlib.metadata
import platform
import re
import socket
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

from trading_graph.otel.errors import ExporterSettingsError
from trading_graph.otel.export import (
    JAEGER,
    LANGSMITH,
    jaeger_exporter,
    jaeger_is_enabled,
    spool_of,
)
from trading_graph.otel.sources.jaeger import JaegerQuery
from trading_graph.service.choice import backend_choice
from trading_graph.service.errors import BadSettings
from trading_graph.service.langsmith_mode import LangSmithMode, langsmith_mode, langsmith_target
from trading_graph.service.settings import Settings

_TIMEOUT_S = 2.0
_SKEW_S = 2.0
_PACKAGES = ("trading-graph", "langgraph", "opentelemetry-sdk", "langsmith", "yfinance")
_JAEGER_VERSION = re.compile(rb'"gitVersion"\s*:\s*"v?([^"]+)"')


class State(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    OFF = "off"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `advice` says what to do about a red one."""

    check: str
    state: State
    found: str
    advice: str | None = None


def examine(settings: Settings) -> list[Finding]:
    """Make every check, those that wait for a network at once."""
    checks: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
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
            for found in pool.map(lambda check: list(check(settings)), checks)
            for each in found
        ]


def _versions(settings: Settings) -> Iterator[Finding]:
    said = [f"Python {platform.python_version()}"]
    said += [f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES]
    yield Finding("versions", State.OK, ", ".join(said))


def _model(settings: Settings) -> Iterator[Finding]:
    choice = backend_choice(settings, offline=False)
    model = choice.model
    if model is None:
        yield Finding(
            "model", State.OK, f"{choice.model_label}; OPENAI_API_KEY would choose another"
        )
        return
    place = model.base_url or "https://api.openai.com"
    if _listens(place):
        yield Finding("model", State.OK, f"{choice.model_label} at {_host(place)}; it costs money")
    else:
        yield Finding(
            "model",
            State.RED,
            f"{choice.model_label}: nobody answers at {_host(place)}",
            "check OPENAI_BASE_URL and the network, or run with --offline",
        )


def _data(settings: Settings) -> Iterator[Finding]:
    yield Finding("data", State.OK, backend_choice(settings, offline=False).data_label)


def _jaeger(settings: Settings) -> Iterator[Finding]:
    start = "docker compose -f deploy/jaeger.yml up, or OTEL_TRACES_EXPORTER=none to do without"
    try:
        if not jaeger_is_enabled():
            yield Finding("spans to Jaeger", State.OFF, "OTEL_TRACES_EXPORTER=none")
            return
        exporter = jaeger_exporter()
    except ExporterSettingsError as error:
        yield Finding("spans to Jaeger", State.RED, str(error), "correct the variable")
    else:
        if exporter.listens():
            yield Finding("spans to Jaeger", State.OK, f"{exporter.endpoint} answers")
        else:
            found = f"nobody answers at {exporter.endpoint}"
            yield Finding("spans to Jaeger", State.RED, found, start)
    url = settings.jaeger_url
    if not JaegerQuery(url).answers():
        advice = f"{start}; TRADING_GRAPH_JAEGER_URL names another address"
        yield Finding("traces from Jaeger", State.RED, f"no Jaeger answers at {url}", advice)
        return
    page, skew_s = _asked(url)
    version = _JAEGER_VERSION.search(page)
    said = f"{url} answers" + (f", version {version[1].decode()}" if version else "")
    yield Finding("traces from Jaeger", State.OK, said)
    yield from _clock("Jaeger's", skew_s)


def _langsmith(settings: Settings) -> Iterator[Finding]:
    try:
        mode = langsmith_mode(settings, offline=False)
        langsmith_target(settings, mode)
    except BadSettings as error:
        yield Finding("LangSmith", State.RED, str(error), "correct the variable")
        return
    if mode is LangSmithMode.OFF:
        yield Finding("LangSmith", State.OFF, "LANGSMITH_TRACING is not true")
        return
    url, key = settings.langsmith_url, settings.langsmith_api_key
    if key is None:
        yield Finding("LangSmith", State.RED, f"{mode}: there is no key", "set LANGSMITH_API_KEY")
        return
    project = urlencode({"name": settings.langsmith_project, "limit": 1})
    headers = {"x-api-key": key.get_secret_value()}
    asked = Request(f"{url.rstrip('/')}/sessions?{project}", headers=headers)
    try:
        _, skew_s = _asked(asked)
    except HTTPError as error:
        refused = error.code in (401, 403)
        found = "refuses the key" if refused else f"answers HTTP {error.code}"
        advice = "set LANGSMITH_API_KEY to a valid one" if refused else "check LANGSMITH_ENDPOINT"
        yield Finding("LangSmith", State.RED, f"{mode}: {url} {found}", advice)
        return
    except (OSError, ValueError, HTTPException):
        advice = "check LANGSMITH_ENDPOINT and the network, or set LANGSMITH_TRACING=false"
        yield Finding("LangSmith", State.RED, f"{mode}: nobody answers at {url}", advice)
        return
    yield Finding("LangSmith", State.OK, f"{mode}: {url} takes the key")
    yield from _clock("LangSmith's", skew_s)


def _spool(settings: Settings) -> Iterator[Finding]:
    for backend in (JAEGER, LANGSMITH):
        spool = spool_of(settings.spool, backend)
        waiting, evicted = spool.spans, spool.evictions
        check = f"spool for {backend}"
        if evicted:
            found = f"{waiting} spans wait, {evicted} had to make room"
            advice = "trading-graph replay, then trading-graph replay RUN for runs that lack spans"
            yield Finding(check, State.RED, found, advice)
        elif waiting:
            found = f"{waiting} spans wait in {spool.folder}"
            yield Finding(check, State.RED, found, "trading-graph replay")
        else:
            yield Finding(check, State.OK, "empty, and nothing was dropped")


def _folders(settings: Settings) -> Iterator[Finding]:
    places = (("runs", settings.out), ("log", settings.log_file.parent), ("spool", settings.spool))
    for check, folder in places:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        try:
            with tempfile.NamedTemporaryFile(dir=there):
                yield Finding(check, State.OK, f"{folder} can be written")
        except OSError as error:
            advice = "name another folder; docs/settings.md says how"
            yield Finding(check, State.RED, f"{folder}: {error.strerror}", advice)


def _clock(whose: str, skew_s: float | None) -> Iterator[Finding]:
    if skew_s is None:
        return
    if abs(skew_s) <= _SKEW_S:
        yield Finding("clock", State.OK, f"agrees with {whose}")
    else:
        later = "behind" if skew_s > 0 else "before"
        found = f"{abs(skew_s):.0f} s {later} {whose}"
        yield Finding("clock", State.RED, found, "set the clock, for example by NTP")


def _asked(what: str | Request) -> tuple[bytes, float | None]:
    """The answer, and by how many seconds the answering clock is ahead of ours."""
    with urlopen(what, timeout=_TIMEOUT_S) as answer:
        content: bytes = answer.read(2**20)
        dated = answer.headers.get("Date")
    try:
        # Whole seconds, cut off: half a second is the mean of what is missing.
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
