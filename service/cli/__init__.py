"""The command line: the words of every command, and the function that each of them calls.

Data goes to stdout, talk and progress to stderr. Exit codes are those of `exit_codes.py`.

A command's module is imported when the command is called, so that `--help` answers at once. A
command whose extra is missing says so before anything of it is imported.
"""

import os

import click

from trading_graph.service.cli import analyses, operations, portfolios, programs, traces

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _ask_loopback_directly() -> None:
    """Keep every client of this process from asking a proxy for what is on this machine."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = [host for host in named.split(",") if host]
    # Clients differ in which spelling they read.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trading-graph", prog_name="trading-graph")
def main() -> None:
    """A multi-agent trading analysis whose parallelism is proved from its own traces.

    Not investment advice.
    """
    _ask_loopback_directly()


for _command in (
    analyses.run,
    analyses.data,
    analyses.decisions,
    analyses.ladder,
    portfolios.portfolio,
    portfolios.worker,
    programs.record,
    programs.probe,
    traces.verify,
    traces.gate,
    traces.compare,
    traces.diagnose,
    traces.mcp_,
    operations.serve,
    operations.replay,
    operations.doctor,
):
    main.add_command(_command)
