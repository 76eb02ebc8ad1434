"""`trading-graph serve`: run the service until a signal stops it."""

import asyncio
import ipaddress
import secrets
import sys
from pathlib import Path

import click
from rich.console import Console

from trading_graph.service.errors import SettingsError
from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.lazy_import import load
from trading_graph.service.log import logging_to
from trading_graph.service.server.access import digest
from trading_graph.service.settings import Settings, backend_choice, read_settings
from trading_graph.service.termination import stop_signals
from trading_graph.toolkit.as_of import utc_now


def _new_token() -> ExitCode:
    """Print a new token, once, and the setting that admits it."""
    token = secrets.token_urlsafe(32)
    click.echo(f"The token, shown this once: {token}")
    click.echo("The service is to be started with:")
    click.echo(f"""TRADING_GRAPH_SERVE_TOKEN_SHA256='["{digest(token)}"]'""")
    return ExitCode.OK


def serve_command(
    *, host: str, port: int, offline: bool, out: str | None, new_token: bool
) -> ExitCode:
    """Serve until a signal, and return the exit code."""
    if new_token:
        return _new_token()
    settings = read_settings()
    _check_host(host, settings)
    with logging_to(settings.log_file, settings.redactor, on_stderr=settings.serve_log):
        asyncio.run(_serve(settings, host, port, Path(out or settings.out), offline=offline))
    return ExitCode.OK


def _check_host(host: str, settings: Settings) -> None:
    """Refuse an address that other machines can reach, unless a token is required."""
    if settings.serve_token_sha256 or host == "localhost":
        return
    try:
        if ipaddress.ip_address(host).is_loopback:
            return
    except ValueError:
        pass
    raise SettingsError(
        f"{host} can be reached from other machines, and no token is set; make one with: "
        "trading-graph serve --new-token"
    )


async def _serve(settings: Settings, host: str, port: int, out: Path, *, offline: bool) -> None:
    talk = Console(stderr=True)
    with stop_signals() as stopped:  # also a signal that comes early ends what is open by then
        with talk.status("loading"):
            # Not above: it takes seconds, and a wrong host is refused first.
            serving = load("service.server.serving")
            offline_note = load("service.langsmith:offline_note")
        choice = backend_choice(settings, offline=offline)
        async with (
            serving.open_service(settings, choice, out, settings.redactor, offline=offline) as app,
            serving.listening(app, host, port) as address,
        ):
            talk.print(choice.announcement, highlight=False, soft_wrap=True)
            if age := choice.old_data(utc_now().date()):
                talk.print(age, highlight=False, soft_wrap=True)
            if note := offline_note(settings, offline=offline):
                talk.print(note, highlight=False, soft_wrap=True)
            talk.print("Stop with Ctrl-C.", highlight=False)
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            await stopped.wait()
            stopped.clear()
            seconds = f"{settings.serve_drain_s:g}"
            talk.print(f"Stopping; what runs has {seconds} s to end.", highlight=False)
            await serving.drain(app, stopped)
