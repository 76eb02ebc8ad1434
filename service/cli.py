"""The command line. Data goes to stdout, talk and progress to stderr.

Exit codes: 0 done, 1 a gate failed, 2 usage, 3 could not be done, 130 interrupted. Everything heavy
is imported inside the commands, so that `--help` answers at once.
"""

import sys

import click

from service.run_options import run_options


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


_TOLD = click.core.ParameterSource.COMMANDLINE

_from_source = click.option(
    "--from",
    "source",
    type=click.Choice(["file", "jaeger", "langsmith"]),
    help="Where to look. Default: a file, then the runs of this folder, then Jaeger.",
)
_id = click.option("--id", metavar="ID", help="Which trace or run, where a source holds several.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="trading-graph", prog_name="trading-graph")
def main() -> None:
    """A multi-agent trading analysis whose parallelism is proved from its own traces.

    Not investment advice.
    """


@main.command()
@click.argument("symbol", required=False)
@run_options
@click.option(
    "--resume",
    metavar="RUN",
    help="Go on with a run whose process was killed: its id, or `last`. Goes with --out and --json "
    "only.",
)
def run(symbol: str | None, resume: str | None, **options: object) -> None:
    """Analyse SYMBOL, and leave a decision, a report and a trace in runs/.

    \b
    Examples:
      trading-graph run NVDA --date 2025-11-14
      trading-graph run AAPL --offline --analysts market,news
      trading-graph run --resume last
    """
    from service.run_command import resume_command, run_command

    ctx = click.get_current_context()
    if resume is not None:
        told = [name for name in ctx.params if ctx.get_parameter_source(name) is _TOLD]
        if beside := set(told) - {"resume", "out", "as_json"}:
            flags = ", ".join(each.opts[0] for each in ctx.command.params if each.name in beside)
            raise click.UsageError(
                f"--resume goes on with what the run was asked to do; leave out: {flags}"
            )
        sys.exit(resume_command(resume, options))
    if symbol is None:
        raise click.UsageError("Missing argument 'SYMBOL'.", ctx)
    if options["prefetch"] and options["no_cache"]:
        raise click.UsageError(
            "--prefetch hands on what it fetches through the cache; give one of "
            "--prefetch and --no-cache"
        )
    sys.exit(run_command(symbol, options))


@main.command()
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
        from service.verify_command import verify_command

        sys.exit(verify_command(trace, source, id, gate, format))
    if trace or id or source not in (None, "jaeger") or format not in ("text", "json"):
        raise click.UsageError(
            "--watch is of Jaeger, instead of TRACE, --from and --id, with --format text or json"
        )
    from service.watch_command import watch_command

    sys.exit(watch_command(watch, gate, format, seconds, count))


@main.command(cls=WithNew)
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
    from service.compare_command import compare_command

    sys.exit(compare_command(traces, new, source, ids, tolerance, format))


@main.command()
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
    from service.diagnose_command import diagnose_command

    form = export or format or "text"
    sys.exit(diagnose_command(trace, source, id, target, form, out, also))


@main.command()
@click.argument("symbol", default="AAPL")
@click.option("--date", metavar="YYYY-MM-DD", help="As of this day. Default: 2025-11-14.")
@click.option(
    "--call-s",
    type=click.FloatRange(min=0, min_open=True),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="What an LLM call takes.",
)
@click.option(
    "--fetch-s",
    type=click.FloatRange(min=0, min_open=True),
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def ladder(
    symbol: str, date: str | None, call_s: float, fetch_s: float, scale: float, as_json: bool
) -> None:
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
    from service.full_scale import Latencies
    from service.ladder_command import ladder_command

    latencies = Latencies(call_s, fetch_s, scale)
    sys.exit(ladder_command(symbol, date, latencies, as_json=as_json))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8321,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option("--offline", is_flag=True, help="Offline model and embedded data, whatever is set.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Where runs are kept. Default: TRADING_GRAPH_OUT, else runs.",
)
@click.option("--new-token", is_flag=True, help="Print a new token and its setting, and end.")
def serve(host: str, port: int, offline: bool, out: str | None, new_token: bool) -> None:
    """Serve runs and verdicts over HTTP, with a page at /.

    Prints the address when it is ready. At SIGTERM or Ctrl-C it takes no new runs, lets those that
    run end, and leaves the rest for its next start to go on with.

    Exit codes: 0 stopped, 2 usage, 3 could not be done.

    \b
    Examples:
      trading-graph serve
      trading-graph serve --host 0.0.0.0 --port 80
    """
    from service import serve_command

    if new_token:
        sys.exit(serve_command.new_token())
    sys.exit(serve_command.serve_command(host, port, offline=offline, out=out))


@main.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--all", "everything", is_flag=True, help="Do not ask Jaeger what it has already.")
def replay(runs: tuple[str, ...], everything: bool) -> None:
    """Send again the spans that a backend did not take, each of them once.

    Without RUN what waits in the spool is sent; a run does that too, in the background. With RUN (a
    trace file, a run's id, or `last`) what the backend lacks of it.

    Exit codes: 0 nothing is left, 2 usage, 3 something could not be sent, and waits on.

    \b
    Examples:
      trading-graph replay
      trading-graph replay last
    """
    from service.replay_command import replay_command

    sys.exit(replay_command(runs, everything=everything))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor(as_json: bool) -> None:
    """Say which backends answer, what is spooled, what would serve, and what to mend.

    Exit codes: 0 all is well, 1 something is to be mended.
    """
    from service.doctor_command import doctor_command

    sys.exit(doctor_command(as_json=as_json))
