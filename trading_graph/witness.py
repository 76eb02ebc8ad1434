"""The witness of any program: `from trading_graph import witness; witness.install()`.

See docs/witness.md. Importing it costs nothing of what a program does not use.
"""

from trading_graph.otel.witness import (
    declarations,
    install,
    is_installed,
    recording,
    uninstall,
    waiting,
)

__all__ = ["declarations", "install", "is_installed", "recording", "uninstall", "waiting"]
