"""The words of the commands for who operates all this: `serve`, `replay` and `doctor`."""

import click

from trading_graph.service.cli.lazy_command import LazyCommand
from trading_graph.service.cli.options import json_option, offline_option, out_option


@click.command(cls=LazyCommand, calls="service.commands.serve:serve_command", extra="serve")
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


@click.command(cls=LazyCommand, calls="service.commands.replay:replay_command", extra="run")
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


@click.command(cls=LazyCommand, calls="service.commands.doctor:doctor_command", extra="run")
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
