"""Starts the witness in any Python, also in one that cannot import it: then it says so.

It stands in a folder at the front of PYTHONPATH, needs nothing but the standard library, and is
written for any Python 3.
"""

import os
import sys
import time


def start() -> None:
    """Start the witness; nothing is ever raised."""
    _start("start")


def start_beside_instrument() -> None:
    """The same under `opentelemetry-instrument`."""
    _start("start_beside_instrument")


def _start(name: str) -> None:
    if os.environ.get("TRADING_GRAPH_WITNESS") not in ("1", "record"):
        return
    try:
        if sys.version_info < (3, 11):  # noqa: UP036
            raise ImportError("The witness needs Python 3.11 or newer.")
        from trading_graph.otel.witness import start as witness

        getattr(witness, name)()
    except Exception as error:
        _note_failure(error)


def _note_failure(error: Exception) -> None:
    """Leave the notes of this process, in the form of `process_notes.py`."""
    folder = os.environ.get("TRADING_GRAPH_WITNESS_OUT")
    if not folder or os.environ.get("TRADING_GRAPH_WITNESS") != "record":
        return
    pid, version = os.getpid(), sys.version.split()[0]
    missing = getattr(error, "name", None) or ""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    lines = f"python\t{pid}\t{sys.executable}\t{version}\ncannot import\t{missing}\t{said}\n"
    try:
        with open(os.path.join(folder, f"{pid}-{int(time.time() * 1e6):x}.notes"), "a") as file:
            file.write(lines)
    except OSError:
        pass
