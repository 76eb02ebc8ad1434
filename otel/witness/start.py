"""Starts the witness in a program that was not changed, where its environment says so.

`bootstrap/sitecustomize.py` calls it at the start of each Python, and `opentelemetry-instrument`
through an entry point. Nothing heavy is imported before the program itself imports OpenTelemetry.
"""

from __future__ import annotations

import os
import sys
import time

from trading_graph.otel.witness.fallback_provider import FallbackProvider
from trading_graph.otel.witness.import_hooks import ImportHooks
from trading_graph.otel.witness.libraries import LIBRARIES
from trading_graph.otel.witness.process_notes import SUFFIX, Note, ProcessNotes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SWITCH = "TRADING_GRAPH_WITNESS"
"""`1` starts the witness; without it nothing here does anything."""
OUT = "TRADING_GRAPH_WITNESS_OUT"
"""The folder in which each process writes its spans; without it none are written."""
INSTRUMENT = "TRADING_GRAPH_WITNESS_INSTRUMENT"
"""Which instrumentors are loaded: `auto` (all that are installed), `none`, or their names."""
SPANS = "TRADING_GRAPH_WITNESS_SPANS"
"""`tasks` records the tasks of asyncio as spans."""

SPANS_SUFFIX = ".spans.jsonl"
_started: list[ImportHooks] = []


def start() -> None:
    """Start the witness once, if the environment says so; nothing is ever raised."""
    _start(loads_instrumentors=True)


def start_beside_instrument() -> None:
    """The same under `opentelemetry-instrument`, which loads the instrumentors itself."""
    _start(loads_instrumentors=False)


def _start(*, loads_instrumentors: bool) -> None:
    if _started or os.environ.get(SWITCH) != "1":
        return
    folder = os.environ.get(OUT)
    stem = f"{os.getpid()}-{time.time_ns():x}"
    notes = ProcessNotes(os.path.join(folder, stem + SUFFIX) if folder else os.devnull)
    notes.add(Note.PYTHON, os.getpid(), sys.executable, sys.version.split()[0])

    def fault(what: str, error: Exception) -> None:
        notes.add(Note.FAULT, what, f"{type(error).__name__}: {error}")

    hooks = ImportHooks(fault)
    _started.append(hooks)
    try:
        sys.meta_path.insert(0, hooks)
        _hook(
            hooks,
            notes,
            os.path.join(folder, stem + SPANS_SUFFIX) if folder else None,
            loads_instrumentors,
        )
        notes.add(Note.WATCHED)
    except Exception as error:
        fault("start", error)


def _hook(
    hooks: ImportHooks, notes: ProcessNotes, span_file: str | None, loads_instrumentors: bool
) -> None:
    fallback = FallbackProvider()
    if span_file:
        hooks.add("opentelemetry.trace", fallback.serve)
    hooks.add("opentelemetry.sdk.trace", _installer(span_file))
    for library in LIBRARIES:
        hooks.add(library, lambda module: notes.add(Note.IMPORTED, module.__name__))
    if os.environ.get(SPANS) == "tasks" and span_file:
        # Not above: it loads OpenTelemetry, and this program may never do so.
        from trading_graph.otel.witness.task_spans import TaskSpans

        tasks = TaskSpans(fallback.tracer("trading_graph.witness.tasks"))
        tasks.watch_asyncio()
        hooks.add("uvloop", tasks.watch_uvloop)
    which = os.environ.get(INSTRUMENT, "none")
    if loads_instrumentors and which != "none":
        from trading_graph.otel.witness.instrumentors import Instrumentor, load_on_import

        names = frozenset(each.strip() for each in which.split(","))

        def is_chosen(each: Instrumentor) -> bool:
            return which == "auto" or each.answers_to(names)

        load_on_import(is_chosen, hooks, notes)


def _installer(span_file: str | None) -> Callable[[ModuleType], None]:
    def install_witness(_: ModuleType) -> None:
        # Not above: these load the SDK.
        from pathlib import Path

        from trading_graph.otel.witness import install

        install(Path(span_file) if span_file else None)

    return install_witness
