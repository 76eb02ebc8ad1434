"""The gate for a trace of any program: `neutral_gate.toml` beside this module."""

from functools import cache
from importlib.resources import files

import msgspec

from trading_graph.otel.verdict.gate import RUN, Duration, Gate


@cache
def neutral_gate() -> Gate:
    """What can be asked of any program; docs/gate.md explains it."""
    text = (files("trading_graph.otel.verdict") / "neutral_gate.toml").read_text("utf-8")
    return Gate.from_toml(text, "the default gate")


def with_target(gate: Gate, target_s: float | None) -> Gate:
    """The gate, with a time that the run may take, in seconds; as it is where that is None."""
    if target_s is None:
        return gate
    title = f"The run takes less than {target_s:g} s"
    checks = list(gate.checks)
    for number, check in enumerate(checks):
        if isinstance(check, Duration):
            checks[number] = msgspec.structs.replace(check, limit_s=target_s, title=title)
            break
    else:
        checks.append(Duration(set=RUN, id="budget", title=title, limit_s=target_s))
    return msgspec.structs.replace(gate, checks=tuple(checks))
