"""A first gate for a program, written from one of its traces.

It holds what the trace shows: that the same branches run at once, that no more LLM calls follow
each other, and what the gate of any program asks. The user edits it from there.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from glob import escape

from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.structure import calls, siblings, turns
from trading_graph.otel.verdict.gate import VERSION
from trading_graph.otel.verdict.measures import fan_out_name, measures
from trading_graph.otel.verdict.parallelism import parallelism
from trading_graph.otel.vocabularies import Role

MOST_FAN_OUTS = 12
"""Fan-outs beyond this number are left to the general check."""


def starter_gate(trace: SpanTable, run: int) -> str:
    """The text of a gate that the run at a row passes, as far as it ran at once."""
    sets = [_set("everything", name=["*"])]
    checks = [
        _check("complete", "The trace is complete", "complete", "run"),
        _check("errors", "No error, retry or timeout stays hidden", "no_errors", "everything"),
        _check(
            "fan_outs",
            "The branches of each fan-out run at once",
            "leaf_parallelism",
            "everything",
            group_by=["fan_out"],
        ),
    ]
    roles = {trace.roles[row] for row in trace.below(run)}
    sets.insert(0, _set("run", role="run"))
    if Role.TOOL in roles:
        sets.append(_set("tools", role="tool"))
    if any(len(turn.tools) > 1 for turn in turns(trace, run)):
        checks.append(
            _check(
                "turns",
                "The tool calls of one LLM turn run at once",
                "leaf_parallelism",
                "tools",
                group_by=["turn"],
            )
        )
    if calls(trace, run).llm:
        chain = measures(trace, run).llm_chain
        sets.append(_set("llm_calls", role="llm"))
        checks.append(
            _check("chain", "No more LLM calls in series", "chain", "llm_calls", limit=chain)
        )
    for key, title, names, stands in _fan_outs(trace, run):
        sets.append(_set(key, name=[escape(name) for name in names]))
        if stands:
            checks.append(_check(f"{key}_overlap", f"{title} overlap", "overlap", key))
    wall_s = trace.lengths[run] / 1e9
    head = (
        f"# Written from trace {trace.trace_id}: edit it, and judge with --gate.\n"
        "# A time budget is yours to set; this run took "
        f"{wall_s:.3f} s:\n"
        '#   [[checks]]\n#   relation = "duration"\n#   set = "run"\n#   limit_s = 60.0\n'
    )
    return "\n".join([head + f"\nversion = {VERSION}\n", *sets, *checks])


def _fan_outs(trace: SpanTable, run: int) -> Iterator[tuple[str, str, tuple[str, ...], bool]]:
    """Key, title, names of the branches, and whether they ran at once, of each distinct fan-out."""
    fan_outs = siblings(trace, run).fan_outs
    visits = Counter(trace.names[row] for each in fan_outs for row in each.branches)
    seen: set[frozenset[str]] = set()
    for fan_out in fan_outs:
        names = tuple(dict.fromkeys(trace.names[row] for row in fan_out.branches))
        if len(names) < 2 or frozenset(names) in seen or len(seen) == MOST_FAN_OUTS:
            continue  # branches of one name are what the general check is for
        seen.add(frozenset(names))
        title = fan_out_name(trace, fan_out)
        key = f"{re.sub(r'[^a-z0-9]+', '_', title.lower()).strip('_') or 'fan_out'}_{len(seen)}"
        # A set by names holds all visits of a node, and these follow each other.
        once = all(visits[name] == 1 for name in names)
        yield key, title, names, once and parallelism(trace, fan_out.branches).stands


def _set(key: str, **conditions: str | list[str]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in conditions.items()]
    return "\n".join([f"[sets.{key}]", *lines, ""])


def _check(key: str, title: str, relation: str, spans: str, **more: int | list[str]) -> str:
    lines = [f"id = {json.dumps(key)}", f"title = {json.dumps(title)}"]
    lines += [f"relation = {json.dumps(relation)}", f"set = {json.dumps(spans)}"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    return "\n".join(["[[checks]]", *lines, ""])
