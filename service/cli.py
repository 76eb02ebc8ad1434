"""The command line. Data goes to stdout, talk and progress to stderr.

Exit codes: 0 done, 1 a gate failed, 2 usage, 3 could not be done, 130 interrupted. Everything heavy
is imported inside the commands, so that `--help` answers at once. A command whose extra is missing
says so before anything else, with exit code 2.
"""

import os
import sys

import click

from trading_graph.service import trace_commands
from trading_graph.service.extras import require_extra
from trading_graph.service.run_options import run_options

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TOLD = click.core.ParameterSource.COMMANDLINE


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
    require_extra("trading-graph run", "run")
    from trading_graph.service.run_command import resume_command, run_command

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


main.add_command(trace_commands.verify)
main.add_command(trace_commands.compare)
main.add_command(trace_commands.diagnose)


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
    require_extra("trading-graph ladder", "run")
    from trading_graph.service.full_scale import Latencies
    from trading_graph.service.ladder_command import ladder_command

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
    require_extra("trading-graph serve", "serve")
    from trading_graph.service import serve_command

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
    require_extra("trading-graph replay", "run")
    from trading_graph.service.replay_command import replay_command

    sys.exit(replay_command(runs, everything=everything))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor(as_json: bool) -> None:
    """Say which backends answer, what is spooled, what would serve, and what to mend.

    Exit codes: 0 all is well, 1 something is to be mended.
    """
    require_extra("trading-graph doctor", "run")
    from trading_graph.service.doctor_command import doctor_command

    sys.exit(doctor_command(as_json=as_json))
