"""`trading-graph mcp`: answer a coding agent's questions about traces, over standard input."""

import asyncio
import os
import sys

from trading_graph.service.exit_codes import ExitCode
from trading_graph.service.lazy_import import load
from trading_graph.service.settings import read_settings


def mcp_command(*, folder: str | None, source: str | None) -> ExitCode:
    """Serve until the client closes standard input, and return the exit code."""
    if folder is not None:
        os.chdir(folder)
    settings = read_settings()
    if sys.stdin.isatty():
        sys.stderr.write("Waiting for a client on standard input; stop with Ctrl-C.\n")
    # Not above: it takes a second, and a wrong setting is refused first.
    serve_stdio = load("service.mcp.protocol:serve_stdio")
    asyncio.run(serve_stdio(settings, source))
    return ExitCode.OK
