"""The commands that read a trace back: verify, compare, diagnose."""

import sys

import click

from trading_graph.service.extras import require_extra


class WithNew(click.Command):
    """A command whose option --with takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give each of those words an option of its own, as click wants it."""
        spread: list[str] = []
        after = False
        for at, word in enumerate(args):
            if word == "--with":
                after = True
                if at + 1 < len(args):
                    continue
            elif word.startswith("-") and word != "-":
                after = False
            spread += ["--with", word] if after and word != "--with" else [word]
        return super().parse_args(ctx, spread)


def _require(source: str | None) -> None:
    """Refuse a source whose extra is not installed; raises MissingExtraError."""
    if source == "langsmith":
        require_extra("--from langsmith", "langsmith")


_from_source = click.option(
    "--from",
    "source",
    type=click.Choice(["file", "jaeger", "langsmith"]),
    help="Where to look. Default: a file, then the runs of this folder, then Jaeger.",
)
_id = click.option("--id", metavar="ID", help="Which trace or run, where a source holds several.")


@click.command()
@click.argument("trace", nargs=-1)
@_from_source
@_id
@click.option(
    "--watch",
    metavar="SERVICE",
    help="Instead of TRACE: judge the traces of this service as they arrive in Jaeger.",
)
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
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
    help="Your own gate. Default: the eight checks of docs/gate.md.",
)
@click.option(
    "--format",
    type=click.Choice(["text", "markdown", "json", "junit", "github"]),
    default="text",
    show_default=True,
    help="How the verdict is printed.",
)
def verify(
    trace: tuple[str, ...],
    source: str | None,
    id: str | None,
    watch: str | None,
    seconds: float | None,
    count: int | None,
    gate: str | None,
    format: str,
) -> None:
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
    if watch is None:
        if not trace:
            raise click.UsageError("name a TRACE, or a service with --watch")
        if seconds is not None or count is not None:
            raise click.UsageError("--for and --count end a watch; give --watch SERVICE as well")
        _require(source)
        from trading_graph.service.verify_command import verify_command

        sys.exit(verify_command(trace, source, id, gate, format))
    if trace or id or source not in (None, "jaeger") or format not in ("text", "json"):
        raise click.UsageError(
            "--watch is of Jaeger, instead of TRACE, --from and --id, with --format text or json"
        )
    from trading_graph.service.watch_command import watch_command

    sys.exit(watch_command(watch, gate, format, seconds, count))


@click.command(cls=WithNew)
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
    help="Which trace or run, where a source holds several; once for each trace, in their order.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="How much longer the new runs may take. Default: 5, or three times the baseline's own "
    "deviation.",
)
@click.option(
    "--format",
    type=click.Choice(["text", "markdown", "json", "junit", "github"]),
    default="text",
    show_default=True,
    help="How the comparison is printed.",
)
def compare(
    traces: tuple[str, ...],
    new: tuple[str, ...],
    source: str | None,
    ids: tuple[str, ...],
    tolerance: float | None,
    format: str,
) -> None:
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
    _require(source)
    from trading_graph.service.compare_command import compare_command

    sys.exit(compare_command(traces, new, source, ids, tolerance, format))


@click.command()
@click.argument("trace", nargs=-1, required=True)
@click.option(
    "--target",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="What the run may take.",
)
@_from_source
@_id
@click.option(
    "--format",
    type=click.Choice(["text", "markdown", "json", "html"]),
    help="How the report is written. Default: text.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="TRACE",
    help="Another run of the same program: an order that it breaks is no dependency. Repeatable.",
)
@click.option(
    "--export",
    type=click.Choice(["perfetto", "folded", "otlp"]),
    help="Instead of the report: trace events for Perfetto, folded stacks of the critical path, or "
    "the predicted run as a trace.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Write there, whole or not at all, instead of to standard output.",
)
def diagnose(
    trace: tuple[str, ...],
    target: float,
    source: str | None,
    id: str | None,
    format: str | None,
    export: str | None,
    out: str | None,
    also: tuple[str, ...],
) -> None:
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
    if format and export:
        raise click.UsageError("--format is for the report and --export is instead of it; give one")
    _require(source)
    from trading_graph.service.diagnose_command import diagnose_command

    form = export or format or "text"
    sys.exit(diagnose_command(trace, source, id, target, form, out, also))
