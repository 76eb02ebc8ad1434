"""The words of the commands that run another program: `record` and `probe`."""

import click

from trading_graph.service.cli.lazy_command import LazyCommand
from trading_graph.service.cli.options import json_option

_instrument_option = click.option(
    "--instrument",
    default="auto",
    show_default=True,
    metavar="auto|none|NAME,...",
    help="Which of the installed OpenTelemetry instrumentors are loaded, when the program imports "
    "what they are for.",
)
_spans_option = click.option(
    "--spans",
    type=click.Choice(["tasks"]),
    help="Record asyncio tasks as spans, for a program that no instrumentor knows.",
)


@click.command(
    cls=LazyCommand,
    calls="service.commands.record:record_command",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[--] PROGRAM [ARGS]...")
@click.option(
    "--gate",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Your own gate. Default: as of `verify`.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The trace file. Default: trace-TIME-PID.jsonl in the current folder.",
)
@_instrument_option
@_spans_option
@json_option
def record() -> None:
    """Run PROGRAM unchanged, record its spans and what proves them, and judge them.

    It runs with its own arguments, streams, signals and exporters. The verdict is on stderr; with
    --json it is also the last line of stdout.

    Exit codes: the program's own if it is not 0, else 0 passed, 1 a check failed, 2 usage (there is
    no such program), 3 nothing was recorded, or it cannot be judged.

    \b
    Examples:
      trading-graph record -- python app.py --fast
      trading-graph record --out trace.jsonl -- pytest tests/agents
      trading-graph record --spans tasks -- -m my_agents
    """


@click.command(
    cls=LazyCommand,
    calls="service.commands.probe:probe_command",
    context_settings={"allow_interspersed_args": False},
)
@click.argument("program", nargs=-1, type=click.UNPROCESSED, metavar="[--] PROGRAM [ARGS]...")
@click.option(
    "--runs",
    type=click.IntRange(4, 100),
    default=10,
    show_default=True,
    metavar="K",
    help="How often the program runs; the first two runs are undisturbed.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="What a run may take. Default: 600, and after the first run three times that and 30.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="The file of dependencies; the trace of an undisturbed run is written beside it. Default: "
    "dependencies-TIME-PID.json in the current folder.",
)
@_instrument_option
@_spans_option
@json_option
def probe() -> None:
    """Run PROGRAM several times with small delays, and say who waits for whom.

    PROGRAM is run as by `record`, or is the id of a pytest test. What it prints is shown only if it
    fails. Spans that move with a delay depend on it; `diagnose --dependencies` takes the result.

    Exit codes: 0 probed, 2 usage, 3 the program failed, did not end, made no spans, or is not
    repeatable.

    \b
    Examples:
      trading-graph probe -- python app.py --fast
      trading-graph probe --runs 12 -- tests/test_agents.py::test_team
      trading-graph probe -- trading-graph run AAPL --offline
    """
