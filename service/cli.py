"""The command line: the words of every command, and the function that each of them calls.

Data goes to stdout, talk and progress to stderr. Exit codes are those of `exit_codes.py`.

A command's module is imported when the command is called, so that `--help` answers at once. A
command whose extra is missing says so before anything of it is imported.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from trading_graph.service.lazy_command import LazyCommand, SeveralWords, load
from trading_graph.service.portfolio_cli import portfolio, worker
from trading_graph.service.program_cli import probe, record
from trading_graph.service.shared_options import (
    data_option,
    json_option,
    offline_option,
    out_option,
)
from trading_graph.service.trace_part_options import part_options
from trading_graph.toolkit.dataset import LAST_DAY

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_POSITIVE = click.FloatRange(min=0, min_open=True)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


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


def _require_langsmith(
    ctx: click.Context, param: click.Parameter, source: str | None
) -> str | None:
    """Refuse a source whose extra is not installed; raises MissingExtraError."""
    if source == "langsmith":
        load("extras:require_extra")("--from langsmith", "langsmith")
    return source


def _trace_options(command: _Decorated) -> _Decorated:
    """Where a trace is looked for, and which one of several."""
    id_ = click.option("--id", metavar="ID", help="Which trace or run, where a source has several.")
    return _from_source(id_(command))


_from_source = click.option(
    "--from",
    "source",
    type=click.Choice(["file", "jaeger", "langsmith"]),
    callback=_require_langsmith,
    help="Where to look. Default: a file, then the runs of this folder, then Jaeger.",
)
_dependencies = click.option(
    "--dependencies",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Who waits for whom in this program, as `probe` found out.",
)
_seen = click.option(
    "--seen",
    multiple=True,
    metavar="TRACE",
    help="Another run of the same program: what ran at once in it does not need each other. "
    "Repeatable.",
)
_format = click.option(
    "--format",
    type=click.Choice(["text", "markdown", "json", "junit", "github"]),
    default="text",
    show_default=True,
    help="How the result is printed.",
)


@main.command(
    cls=LazyCommand,
    calls="commands.run:run_command",
    options="run.request:request_options",
    extra="run",
)
@click.argument("symbol", required=False)
@offline_option
@data_option
@click.option("--no-cache", is_flag=True, help="Fetch everything every time, on purpose.")
@click.option("--no-pool", is_flag=True, help="Open a connection for every request, on purpose.")
@out_option("Where the run's folder is made.")
@json_option
@click.option(
    "--resume",
    metavar="RUN",
    help="Resume a run whose process was killed, or that failed: its id, or `last`. Goes with "
    "--out and --json only.",
)
def run() -> None:
    """Analyse SYMBOL, and leave a decision, a report and a trace in runs/.

    Exit codes: 0 decided, 2 usage or a symbol that no source knows, 3 the run failed, 130
    interrupted.

    \b
    Examples:
      trading-graph run NVDA --date 2025-11-14
      trading-graph run AAPL --offline --analysts market,news
      trading-graph run --resume last
    """


main.add_command(portfolio)
main.add_command(worker)


@main.command(cls=LazyCommand, calls="commands.data:data_command", extra="run")
@click.argument("symbol")
@click.option(
    "--date",
    metavar="YYYY-MM-DD",
    help=f"As of this day. Default: {LAST_DAY} with embedded data, else today.",
)
@data_option
@click.option("--offline", is_flag=True, help="Embedded data, whatever is set.")
@click.option(
    "--format",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="A table for people, one JSON object with everything, or the price bars as CSV.",
)
def data() -> None:
    """Show all that is known of SYMBOL as of a date.

    Nothing is dated after that day; a weekend or holiday shows the last session before it. The
    data is on stdout; what was fetched, and how long each fetch took, on stderr.

    Exit codes: 0 shown, 2 usage or a symbol that no source knows, 3 no data of the symbol.

    \b
    Examples:
      trading-graph data NVDA --date 2025-11-14
      trading-graph data AAPL --offline --format csv > bars.csv
    """


@main.command(cls=LazyCommand, calls="commands.decisions:decisions_command", extra="run")
@click.argument("symbol")
@click.option(
    "--date",
    metavar="YYYY-MM-DD",
    help=f"As of this day. Default: {LAST_DAY} with embedded data, else today.",
)
@data_option
@click.option("--offline", is_flag=True, help="Embedded data, whatever is set.")
@out_option("Where the runs are.")
@json_option
def decisions() -> None:
    """List the decisions on SYMBOL up to a date, and what the price did since each of them.

    Nothing is later than that date: neither a decision nor a price.

    Exit codes: 0 shown, 2 usage, 3 there is no decision.

    \b
    Examples:
      trading-graph decisions NVDA
      trading-graph decisions NVDA --date 2025-11-14 --json
    """


@main.command(cls=LazyCommand, calls="commands.verify:verify_command")
@click.argument("trace", nargs=-1)
@_trace_options
@part_options
@click.option(
    "--watch",
    metavar="SERVICE",
    help="Instead of TRACE: judge the traces of this service as they arrive in Jaeger.",
)
@click.option(
    "--for",
    "seconds",
    type=_POSITIVE,
    metavar="SECONDS",
    help="With --watch: end after so long.",
)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="With --watch: end after so many traces; fewer are not enough to pass.",
)
@click.option(
    "--gate",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Your own gate. Default: what can be asked of any program; of this program's own runs its "
    "eight checks (docs/gate.md).",
)
@click.option(
    "--target",
    type=_POSITIVE,
    metavar="SECONDS",
    help="The time that the run may take.",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Fail where a check that applies holds without proof.",
)
@_seen
@_dependencies
@_format
def verify() -> None:
    """Judge TRACE: a file, `-`, a trace id, or `last` (the newest run of this folder).

    Several files are parts of one trace. `last --from jaeger` is the newest trace of the service
    that OTEL_SERVICE_NAME names. A watch prints a line a trace, and ends with Ctrl-C or SIGTERM.

    Exit codes: 0 passed, 1 a check failed, 2 usage, 3 the trace cannot be judged; of a watch 0 all
    passed, 1 one failed, 3 none failed but one could not be judged, or too few came.

    \b
    Examples:
      trading-graph verify last
      trading-graph verify trace.jsonl --gate gate.toml --format junit
      trading-graph verify --watch my-agents --count 5 --for 600
    """


@main.command(cls=LazyCommand, calls="commands.gate:gate_command")
@click.argument("trace", nargs=-1, required=True)
@_trace_options
def gate() -> None:
    """Write a first gate for the program that made TRACE, on stdout.

    It holds the sets and fan-outs that the trace shows, and its chain of LLM calls. Edit it, and
    judge with `verify --gate`.

    Exit codes: 0 written, 2 usage, 3 the trace cannot be judged.

    \b
    Examples:
      trading-graph gate trace.jsonl > gate.toml
      trading-graph verify trace.jsonl --gate gate.toml
    """


@main.command(cls=SeveralWords, calls="commands.compare:compare_command")
@click.argument("traces", nargs=-1, required=True, metavar="BASE... [NEW]")
@click.option(
    "--with", "new", multiple=True, metavar="NEW...", help="The new runs, where they are a set."
)
@_from_source
@click.option(
    "--id",
    "ids",
    multiple=True,
    metavar="ID",
    help="Which trace or run, where a source has several; once for each trace, in their order.",
)
@part_options
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="How much longer the new runs may take. Default: 5, or three times the baseline's own "
    "deviation.",
)
@_dependencies
@_format
def compare() -> None:
    """Say what moved from BASE to NEW, and fail where it got worse.

    Each is one run: a file, `-`, a trace id, or `last`. Sets need two runs a side or more, better
    five; their difference has a bootstrap interval, and fails when all of it is beyond the
    tolerance. What became serial, is fetched again, is lost or fails now is a regression by itself.

    Exit codes: 0 no regression, 1 a regression, 2 usage, 3 the traces cannot be compared.

    \b
    Examples:
      trading-graph compare 019a9b1c2d3e7f40a1b2c3d4e5f60718 last
      trading-graph compare base/*/trace.jsonl --with new/*/trace.jsonl --format junit
    """


@main.command(cls=LazyCommand, calls="commands.diagnose:diagnose_command")
@click.argument("trace", nargs=-1, required=True)
@click.option(
    "--target",
    type=_POSITIVE,
    metavar="SECONDS",
    help="What the run may take. Default: the time limit of the default gate.",
)
@_trace_options
@part_options
@click.option(
    "--format",
    type=click.Choice(["text", "markdown", "json", "html"]),
    help="How the report is written. Default: text.",
)
@click.option(
    "--gate",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Your own gate, for its sets, its checks and its time. Default: as of `verify`.",
)
@_seen
@_dependencies
@click.option(
    "--export",
    type=click.Choice(["perfetto", "folded", "otlp", "view", "what-if"]),
    help="Instead of the report: trace events for Perfetto, folded stacks of the critical path, "
    "the predicted run as a trace, all that the service's page shows of a trace, or the times of "
    "its spans with some findings fixed.",
)
@click.option(
    "--fix",
    type=click.IntRange(min=1),
    multiple=True,
    metavar="NUMBER",
    help="A finding that --export what-if fixes, by its number in the report. Repeatable.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write there, whole or not at all, instead of to standard output.",
)
def diagnose() -> None:
    """Say where the time of TRACE went, and what each fix would gain.

    TRACE is a file, `-`, a trace id, or `last` (the newest run of this folder); several files are
    parts of one trace. Gains are played, never added: each is the run simulated with the fix.

    Exit codes: 0 inside the target, 1 over it, 2 usage, 3 the trace cannot be judged.

    \b
    Examples:
      trading-graph diagnose last
      trading-graph diagnose last --target 60 --format html --out diagnosis.html
      trading-graph diagnose last --export otlp --out predicted.json
    """


main.add_command(record)
main.add_command(probe)


@main.command(cls=LazyCommand, calls="commands.ladder:ladder_command", extra="run")
@click.argument("symbol", default="AAPL")
@click.option("--date", metavar="YYYY-MM-DD", help=f"As of this day. Default: {LAST_DAY}.")
@click.option(
    "--call-s",
    type=_POSITIVE,
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="What an LLM call takes.",
)
@click.option(
    "--fetch-s",
    type=_POSITIVE,
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="What a fetch takes.",
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0.001, max=1),
    default=0.02,
    show_default=True,
    help="Which part of that is really waited; figures are scaled back.",
)
@json_option
def ladder() -> None:
    """Run one analysis all sequential, then with Send, async tools, cache and pool, warm cache.

    Each run is predicted from the first one's trace, and measured. Always offline: the latencies
    are simulated.

    Exit codes: 0 all as predicted, 1 a prediction misses by more than 5 %, or a run's own trace
    contradicts what it claims, 2 usage, 3 could not be done.

    \b
    Examples:
      trading-graph ladder
      trading-graph ladder NVDA --call-s 8 --scale 0.05
    """


@main.command(cls=LazyCommand, calls="commands.serve:serve_command", extra="serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8321,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@offline_option
@out_option("Where runs are kept.")
@click.option("--new-token", is_flag=True, help="Print a new token and its setting, and end.")
def serve() -> None:
    """Serve runs and verdicts over HTTP, with a page at /.

    Prints the address when it is ready. At SIGTERM or Ctrl-C it takes no new runs, lets those that
    run end, and leaves the rest for its next start to resume.

    Exit codes: 0 stopped, 2 usage, 3 could not be done.

    \b
    Examples:
      trading-graph serve
      trading-graph serve --host 0.0.0.0 --port 80
    """


@main.command("mcp", cls=LazyCommand, calls="commands.mcp:mcp_command", extra="mcp")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help="Work there: files of this folder can be named, and its runs. Default: the current one.",
)
@_from_source
def mcp_() -> None:
    """Answer a coding agent's questions about traces, over standard input and output.

    The agent starts this command itself (docs/mcp.md) and speaks the Model Context Protocol with
    it. It only reads.

    Exit codes: 0 the client is gone, 2 usage.

    \b
    Examples:
      trading-graph mcp --folder ~/project
      trading-graph mcp --from jaeger
    """


@main.command(cls=LazyCommand, calls="commands.replay:replay_command", extra="run")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--all", "everything", is_flag=True, help="Do not ask Jaeger what it has already.")
def replay() -> None:
    """Send again the spans that a backend did not take, each of them once.

    Without RUN what waits in the spool is sent; a run does that too, in the background. With RUN (a
    trace file, a run's id, or `last`) what the backend lacks of it.

    Exit codes: 0 nothing is left, 2 usage, 3 something could not be sent, and waits on.

    \b
    Examples:
      trading-graph replay
      trading-graph replay last
    """


@main.command(cls=LazyCommand, calls="commands.doctor:doctor_command", extra="run")
@click.option(
    "--model",
    is_flag=True,
    help="Ask the models three small questions, and say what they can do; it costs a little.",
)
@click.option(
    "--forget-model", is_flag=True, help="Forget first what was learned of the models' services."
)
@json_option
def doctor() -> None:
    """Say which backends answer, what is spooled, what would serve, and what to mend.

    Exit codes: 0 all is well, 1 something is to be mended.
    """
