"""The witness: records on every span what its times cannot show; see docs/witness.md.

`install()` makes any program's trace provable, whoever opens the spans: it adds the lag of the
event loop, CPU time, waits, and what each span's time was spent on.

The modules load when they are first used: `start` runs in every Python that is recorded, and most
of these never import OpenTelemetry.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from trading_graph.otel.witness.delays import plan_for as plan_for
    from trading_graph.otel.witness.installation import hold as hold
    from trading_graph.otel.witness.installation import install as install
    from trading_graph.otel.witness.installation import is_installed as is_installed
    from trading_graph.otel.witness.installation import recording as recording
    from trading_graph.otel.witness.installation import uninstall as uninstall
    from trading_graph.otel.witness.instrumentors import Instrumentor as Instrumentor
    from trading_graph.otel.witness.instrumentors import load_on_import as load_on_import
    from trading_graph.otel.witness.spans import declarations as declarations
    from trading_graph.otel.witness.task_spans import TaskSpans as TaskSpans
    from trading_graph.otel.witness.waits import waiting as waiting
else:
    from importlib import import_module

    _HOMES = {
        "install": "installation",
        "is_installed": "installation",
        "recording": "installation",
        "uninstall": "installation",
        "declarations": "spans",
        "waiting": "waits",
        # What `start` alone uses.
        "TaskSpans": "task_spans",
        "hold": "installation",
        "load_on_import": "instrumentors",
        "plan_for": "delays",
    }

    def __getattr__(name):  # noqa: ANN001, ANN202 - type checkers read the imports above.
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{home}"), name)
        globals()[name] = value
        return value


__all__ = ["declarations", "install", "is_installed", "recording", "uninstall", "waiting"]
