"""A gate: named sets of spans and the relations that have to hold between them, as TOML.

The default gate is `gate.toml` beside this module; a user's own has the same form. A file with an
error is refused with the line and the reason.
"""

import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from trading_graph.otel.trace import Trace
from trading_graph.otel.trace.kinds import Role


class GateError(Exception):
    """The gate file cannot be used."""


class SpanSet(msgspec.Struct, forbid_unknown_fields=True):
    """Which spans: every condition that is given has to hold."""

    role: Role | None = None
    name: list[str] = []
    attributes: dict[str, Any] = {}

    def select(self, trace: Trace, run: int, rows: list[int]) -> list[int]:
        """The rows of the set among those given, in order of start.

        `run` is the row that is judged below: it is the run, also where it does not say so.
        """
        if self.role is not None:
            itself, roles, wanted = run if self.role is Role.RUN else None, trace.roles, self.role
            rows = [row for row in rows if roles[row] is wanted or row == itself]
        if self.name:
            names = trace.names
            named = {name: self._names(name) for name in {names[row] for row in rows}}
            rows = [row for row in rows if named[names[row]]]
        if self.attributes:
            rows = [row for row in rows if self._has(trace.attributes(row))]
        return list(rows)

    def _names(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.name)

    def _has(self, found: Mapping[str, Any]) -> bool:
        return all(found.get(key) == value for key, value in self.attributes.items())


class Check(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, tag_field="relation"):
    """What all checks have: an id, a title for people, and the set that it is about."""

    id: str
    title: str
    set: str


class StartsWithin(Check, tag="starts_within"):
    """Every span of the set starts at most `limit_s` after the end of the last of `after`."""

    after: str
    limit_s: float


class Overlap(Check, tag="overlap"):
    """The set's spans overlap, and the work below them does: both ratios `at_least`."""

    at_least: float = 0.5


class LeafParallelism(Check, tag="leaf_parallelism"):
    """The spans of each group run at once, at leaf level. Keys: `parent`, or attribute names."""

    group_by: list[str] = []


class Duration(Check, tag="duration"):
    """No span of the set takes longer than `limit_s`.

    With simulated latencies the run is also projected to `project_call_s` seconds an LLM call.
    """

    limit_s: float
    project_call_s: float | None = None


class MaxGap(Check, tag="max_gap"):
    """Between one span of the set and the next that starts, at most `limit_s` pass with none."""

    limit_s: float


class Before(Check, tag="before"):
    """Every span of the set has ended before the first of `other` starts."""

    other: str


class NoDuplicates(Check, tag="no_duplicates"):
    """No two spans of the set have the same value of the attribute `key`."""

    key: str


class Count(Check, tag="count"):
    """The set has at least and at most so many spans."""

    at_least: int = 0
    at_most: int | None = None


class NoErrors(Check, tag="no_errors"):
    """No span of the set has failed, was cancelled, timed out, or was retried."""


class Chain(Check, tag="chain"):
    """At most so many spans of the set follow each other: a number, or an attribute of the run."""

    limit: int | None = None
    limit_from: str | None = None


class LoopLag(Check, tag="loop_lag"):
    """No span of the set saw the event loop blocked for longer than `limit_ms`."""

    limit_ms: float


class Complete(Check, tag="complete"):
    """The trace is complete, by its declared span count; `set` is the run's."""


AnyCheck = (
    StartsWithin
    | Overlap
    | LeafParallelism
    | Duration
    | MaxGap
    | Before
    | NoDuplicates
    | Count
    | NoErrors
    | Chain
    | LoopLag
    | Complete
)


class Gate(msgspec.Struct, forbid_unknown_fields=True):
    """A whole gate file."""

    version: int
    sets: dict[str, SpanSet]
    checks: list[AnyCheck]


def default_gate() -> Gate:
    """The gate of Trading Graph's own runs."""
    return parse_gate(
        (files("trading_graph.otel.verdict") / "gate.toml").read_text("utf-8"), "the default gate"
    )


def read_gate(path: Path) -> Gate:
    """A gate from a file; raises GateError with the line and the reason."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GateError(f"The gate {path} cannot be read: {error}.") from error
    return parse_gate(text, str(path))


def parse_gate(text: str, origin: str) -> Gate:
    """A gate from TOML text; `origin` names it in errors."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GateError(f"{origin} is not TOML: {error}.") from error
    try:
        gate = msgspec.convert(document, Gate)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        line = _line(text, place.strip("`"), reason)
        raise GateError(f"{origin}, line {line}: {reason[0].lower()}{reason[1:]}.") from error
    if gate.version != 1:
        raise GateError(f"{origin}: version {gate.version} is unknown; this program reads 1.")
    if not gate.checks:
        raise GateError(f"{origin} has no [[checks]], so everything would pass.")
    for number, check in enumerate(gate.checks):
        for key in ("set", "after", "other"):
            name = getattr(check, key, None)
            if name is not None and name not in gate.sets:
                line = _line(text, f"$.checks[{number}].{key}")
                known = ", ".join(sorted(gate.sets))
                raise GateError(
                    f"{origin}, line {line}: {key} = {name!r} names no set; there are {known}."
                )
    return gate


def _line(text: str, place: str, reason: str = "") -> int:
    """The line of a place such as `$.checks[2].limit_s`, or of the table it is in, else 1.

    Of a set the place does not tell the name, so what the reason quotes is looked for.
    """
    lines = text.splitlines()
    start = 0
    if found := re.match(r"\$\.checks\[(\d+)\]", place):
        headers = [number for number, line in enumerate(lines) if line.strip() == "[[checks]]"]
        start = headers[int(found[1])] if int(found[1]) < len(headers) else 0
    key = re.search(r"\.(\w+)(\[\d+\])?$", place)
    quoted = re.search(r"[`'](\w+)[`']", reason)
    for wanted in (key and rf"\s*{key[1]}\s*=", quoted and rf".*\b{quoted[1]}\b"):
        for number in range(start, len(lines)):
            if wanted and re.match(wanted, lines[number]):
                return number + 1
            if found and number > start and lines[number].lstrip().startswith("["):
                break
    return start + 1
