"""The judge of traces as a library: `import trading_graph as tg`; see docs/library.md.

    for trace in tg.read("trace.jsonl"):
        verdict = tg.judge(trace)
        print(verdict.passed, tg.diagnose(trace).findings)

A name is imported when it is first used, so that importing the package costs next to nothing.
"""

from importlib import import_module

# Not typing's: a program that is recorded imports this at its start, and may do without typing.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from trading_graph.library import compare as compare
    from trading_graph.library import diagnose as diagnose
    from trading_graph.library import judge as judge
    from trading_graph.library import read as read
    from trading_graph.otel.diagnosis import Comparison as Comparison
    from trading_graph.otel.diagnosis import Diagnosis as Diagnosis
    from trading_graph.otel.diagnosis import Finding as Finding
    from trading_graph.otel.diagnosis import FindingKind as FindingKind
    from trading_graph.otel.errors import JudgeError as JudgeError
    from trading_graph.otel.trace import Evidence as Evidence
    from trading_graph.otel.trace import Span as Span
    from trading_graph.otel.trace import Trace as Trace
    from trading_graph.otel.trace.dependencies import Dependencies as Dependencies
    from trading_graph.otel.verdict import Cause as Cause
    from trading_graph.otel.verdict import CheckResult as CheckResult
    from trading_graph.otel.verdict import Gate as Gate
    from trading_graph.otel.verdict import Measures as Measures
    from trading_graph.otel.verdict import Outcome as Outcome
    from trading_graph.otel.verdict import Strength as Strength
    from trading_graph.otel.verdict import Verdict as Verdict
    from trading_graph.otel.verdict.gate import spans_where as spans_where
    from trading_graph.otel.vocabularies import Role as Role
else:
    _HOMES = {
        "otel.diagnosis": ("Comparison", "Diagnosis", "Finding", "FindingKind"),
        "otel.errors": ("JudgeError",),
        "library": ("compare", "diagnose", "judge", "read"),
        "otel.trace": ("Evidence", "Span", "Trace"),
        "otel.trace.dependencies": ("Dependencies",),
        "otel.vocabularies": ("Role",),
        "otel.verdict": (
            "Cause",
            "CheckResult",
            "Gate",
            "Measures",
            "Outcome",
            "Strength",
            "Verdict",
        ),
        "otel.verdict.gate": ("spans_where",),
    }
    _HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

    def __getattr__(name):  # noqa: ANN001, ANN202 - type checkers read the imports above.
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
        return value

    def __dir__():  # noqa: ANN202 - as above.
        return sorted({*globals(), *__all__})


__all__ = [
    "Cause",
    "CheckResult",
    "Comparison",
    "Dependencies",
    "Diagnosis",
    "Evidence",
    "Finding",
    "FindingKind",
    "Gate",
    "JudgeError",
    "Measures",
    "Outcome",
    "Role",
    "Span",
    "Strength",
    "Trace",
    "Verdict",
    "compare",
    "diagnose",
    "judge",
    "read",
    "spans_where",
]
