"""Starts the witness in a program that was not changed, where its environment says so.

`bootstrap/sitecustomize.py` calls it at the start of each Python, and `opentelemetry-instrument`
through an entry point. Nothing heavy is imported before the program itself imports OpenTelemetry.
"""

from __future__ import annotations

import os
import sys
import time

from trading_graph.otel import witness
from trading_graph.otel.witness.fallback_provider import FallbackProvider
from trading_graph.otel.witness.import_hooks import ImportHooks
from trading_graph.otel.witness.libraries import AGENT_LIBRARIES, OTHER_LIBRARIES
from trading_graph.otel.witness.process_notes import SUFFIX, Note, ProcessNotes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

SWITCH = "TRADING_GRAPH_WITNESS"
"""`1` starts the witness; without it nothing here does anything.

`record` is what `trading-graph record` sets: each process then leaves notes beside its spans.
"""
OUT = "TRADING_GRAPH_WITNESS_OUT"
"""The folder in which each process writes its spans; without it none are written."""
INSTRUMENT = "TRADING_GRAPH_WITNESS_INSTRUMENT"
"""Which instrumentors are loaded: `auto` (all that are installed), `none`, or their names."""
SPANS = "TRADING_GRAPH_WITNESS_SPANS"
"""`tasks` records the tasks of asyncio as spans."""
DELAYS = "TRADING_GRAPH_WITNESS_DELAYS"
"""The token of the plan in that folder by which spans are held; set by `trading-graph probe`."""
SPAN_FILES = "spans-*.jsonl"
"""The names of the files of spans; a forked child adds to the name."""
BOOTSTRAP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap")
"""The folder that starts the witness where it stands at the front of PYTHONPATH."""

_started: list[ImportHooks] = []


def start() -> None:
    """Start the witness once, if the environment says so; nothing is ever raised."""
    _start(loads_instrumentors=True)


def start_beside_instrument() -> None:
    """The same under `opentelemetry-instrument`, which loads the instrumentors itself."""
    _start(loads_instrumentors=False)


def _start(*, loads_instrumentors: bool) -> None:
    switch = os.environ.get(SWITCH)
    if _started or switch not in ("1", "record"):
        return
    folder, stem = os.environ.get(OUT), f"{os.getpid()}-{time.time_ns():x}"
    has_notes = folder and switch == "record"
    notes = ProcessNotes(os.path.join(folder, stem + SUFFIX) if folder and has_notes else None)
    notes.add(Note.PYTHON, os.getpid(), sys.executable, sys.version.split()[0])
    hooks = ImportHooks(notes.fault)
    _started.append(hooks)
    try:
        sys.meta_path.insert(0, hooks)
        for library in (*AGENT_LIBRARIES, *OTHER_LIBRARIES):
            hooks.add(library, lambda module: notes.add(Note.IMPORTED, module.__name__))
        if folder:
            os.makedirs(folder, exist_ok=True)
            _install_with_the_sdk(hooks, f"{folder}/spans-{stem}.jsonl")
            _record_what_nobody_takes(hooks)
        else:
            _install_with_the_sdk(hooks, None)
        if loads_instrumentors:
            _load_instrumentors(os.environ.get(INSTRUMENT, "none"), hooks, notes)
        notes.add(Note.WATCHED)
    except Exception as error:
        notes.fault("start", error)


def _install_with_the_sdk(hooks: ImportHooks, span_file: str | None) -> None:
    def install_witness(_: ModuleType) -> None:
        witness.install(span_file)  # It loads the SDK.
        _hold(span_file)

    def install_unless_it_loads(module: ModuleType) -> None:
        # A program that has the witness itself may import it first, and so the SDK.
        if not any(map(_is_loading, _LOADING_THE_SDK)):
            install_witness(module)

    hooks.add("opentelemetry.sdk.trace", install_unless_it_loads)
    hooks.add(_INSTALLATION, install_witness)


def _hold(span_file: str | None) -> None:
    """Hold spans and tasks, where `probe` has made a plan for this very run."""
    token = os.environ.get(DELAYS)
    if not token or not span_file or os.environ.get(SWITCH) != "record":
        return
    plan = witness.plan_for(os.path.dirname(span_file), token)
    if plan is not None:
        witness.hold(plan)


_INSTALLATION = "trading_graph.otel.witness.installation"
_LOADING_THE_SDK = (_INSTALLATION, "trading_graph.otel.witness.spans")


def _is_loading(name: str) -> bool:
    return getattr(getattr(sys.modules.get(name), "__spec__", None), "_initializing", False)


def _record_what_nobody_takes(hooks: ImportHooks) -> None:
    """Take the spans of a program without a provider, and make spans of tasks where asked to."""
    fallback = FallbackProvider()
    hooks.add("opentelemetry.trace", fallback.serve)
    if os.environ.get(SPANS) == "tasks":
        # It loads OpenTelemetry, which this program might never do.
        tasks = witness.TaskSpans(fallback.tracer("trading_graph.witness.tasks"))
        tasks.watch_asyncio()
        hooks.add("uvloop", tasks.watch_uvloop)


def _load_instrumentors(which: str, hooks: ImportHooks, notes: ProcessNotes) -> None:
    if which == "none":
        return
    names = frozenset(each.strip() for each in which.split(","))

    def is_chosen(each: witness.Instrumentor) -> bool:
        return which == "auto" or each.answers_to(names)

    witness.load_on_import(is_chosen, hooks, notes)
