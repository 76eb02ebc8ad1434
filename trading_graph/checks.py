"""The checks that a gate in code is made of: each is one relation of docs/gate.md."""

from trading_graph.otel.verdict.gate import (
    Before,
    Chain,
    Complete,
    Count,
    Duration,
    EndsWithin,
    LeafParallelism,
    Linked,
    LoopLag,
    MaxGap,
    NoDuplicates,
    NoErrors,
    Ordered,
    Overlap,
    StartsWithin,
)

__all__ = [
    "Before",
    "Chain",
    "Complete",
    "Count",
    "Duration",
    "EndsWithin",
    "LeafParallelism",
    "Linked",
    "LoopLag",
    "MaxGap",
    "NoDuplicates",
    "NoErrors",
    "Ordered",
    "Overlap",
    "StartsWithin",
]
