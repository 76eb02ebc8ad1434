"""The words of the commands on traces: `verify`, `gate`, `compare`, `diagnose` and `mcp`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from trading_graph.service.cli.lazy_command import LazyCommand, SeveralWords
from trading_graph.service.lazy_import import load

_POSITIVE = click.FloatRange(min=0, min_open=True)

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def _require_langsmith(
    ctx: click.Context, param: click.Parameter, source: str | None
) -> str | None:
    """Refuse a source whose extra is not installed; raises MissingExtraError."""
    if source == "langsmith":
        load("service.extras:require_extra")("--from langsmith", "langsmith")
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


def _part_options(command: _Decorated) -> _Decorated:
    """What of a source is one run, where that is not one whole trace."""
    for option in (
        click.option(
            "--each",
            is_flag=True,
            help="Every trace of the source by itself: a line a trace, and a summary.",
        ),
        click.option(
            "--join",
            is_flag=True,
            help="Several traces as one run: those of one session or thread, or of one process and "
            "time. Nothing is proven across them.",
        ),
        click.option(
            "--forest",
            is_flag=True,
            help="A trace with several roots, or with missing parents, as one run. Nothing is "
            "proven across its trees.",
        ),
        click.option(
            "--root",
            metavar="SPAN",
            help="Only what is at or below this span, by its id or its name.",
        ),
    ):
        command = option(command)
    return command


@click.command(cls=LazyCommand, calls="service.commands.verify:verify_command")
@click.argument("trace", nargs=-1)
@_trace_options
@_part_options
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


@click.command(cls=LazyCommand, calls="service.commands.gate:gate_command")
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


@click.command(cls=SeveralWords, calls="service.commands.compare:compare_command")
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
@_part_options
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


@click.command(cls=LazyCommand, calls="service.commands.diagnose:diagnose_command")
@click.argument("trace", nargs=-1, required=True)
@click.option(
    "--target",
    type=_POSITIVE,
    metavar="SECONDS",
    help="What the run may take. Default: the time limit of the default gate.",
)
@_trace_options
@_part_options
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


@click.command("mcp", cls=LazyCommand, calls="service.commands.mcp:mcp_command", extra="mcp")
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
