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
from typing import Any, Self

import msgspec

from trading_graph.otel.errors import GateError
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.trace.kinds import Role


class SpanSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which spans: every condition that is given has to hold; a name may hold `*`."""

    role: Role | None = None
    name: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}

    def select(self, trace: SpanTable, run: int, rows: list[int]) -> list[int]:
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

    def __str__(self) -> str:
        conditions = [f"role {self.role}"] if self.role else []
        conditions += [f"name {' or '.join(self.name)}"] if self.name else []
        conditions += [f"{key} = {value}" for key, value in self.attributes.items()]
        return ", ".join(conditions) or "every span"


RUN = SpanSet(role=Role.RUN)
"""The run itself."""


def spans_where(
    *,
    role: Role | str | None = None,
    name: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> SpanSet:
    """A set of spans for a check: every condition has to hold, and a name may hold `*`.

    Raises JudgeError for a role that is none.
    """
    if role is not None and role not in set(Role):
        raise GateError(f"{role!r} is no role; there are {', '.join(Role)}.")
    return SpanSet(
        role=None if role is None else Role(role),
        name=() if name is None else (name,),
        attributes=dict(attributes or {}),
    )


class Check(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="relation"
):
    """What all checks have: an id, a title for people, and the set of spans that it is about.

    A set is given itself, or by its name among the gate's sets. Id and title are made of the
    relation and the set where they are not given.
    """

    set: str | SpanSet
    id: str = ""
    title: str = ""

    def __post_init__(self) -> None:
        relation = type(self).__struct_config__.tag
        if not self.id:
            msgspec.structs.force_setattr(self, "id", f"{relation}: {self.set}")
        if not self.title:
            words = str(relation).replace("_", " ")
            msgspec.structs.force_setattr(
                self, "title", f"{words[0].upper()}{words[1:]}: {self.set}"
            )


class StartsWithin(Check, frozen=True, tag="starts_within"):
    """Every span of the set starts at most `limit_s` after the end of the last of `after`."""

    after: str | SpanSet
    limit_s: float


class Overlap(Check, frozen=True, tag="overlap"):
    """The set's spans overlap, and the work below them does: both ratios `at_least`."""

    at_least: float = 0.5


class LeafParallelism(Check, frozen=True, tag="leaf_parallelism"):
    """The spans of each group run at once, at leaf level. Keys: `parent`, or attribute names."""

    group_by: tuple[str, ...] = ()


class Duration(Check, frozen=True, tag="duration"):
    """No span of the set takes longer than `limit_s`.

    With simulated latencies the run is also projected to `project_call_s` seconds an LLM call.
    """

    limit_s: float
    project_call_s: float | None = None


class MaxGap(Check, frozen=True, tag="max_gap"):
    """Between one span of the set and the next that starts, at most `limit_s` pass with none."""

    limit_s: float


class Before(Check, frozen=True, tag="before"):
    """Every span of the set has ended before the first of `other` starts."""

    other: str | SpanSet


class NoDuplicates(Check, frozen=True, tag="no_duplicates"):
    """No two spans of the set have the same value of the attribute `key`."""

    key: str


class Count(Check, frozen=True, tag="count"):
    """The set has at least and at most so many spans."""

    at_least: int = 0
    at_most: int | None = None


class NoErrors(Check, frozen=True, tag="no_errors"):
    """No span of the set has failed, was cancelled, timed out, or was retried."""


class Chain(Check, frozen=True, tag="chain"):
    """At most so many spans of the set follow each other: a number, or an attribute of the run."""

    limit: int | None = None
    limit_from: str | None = None


class LoopLag(Check, frozen=True, tag="loop_lag"):
    """No span of the set saw the event loop blocked for longer than `limit_ms`."""

    limit_ms: float


class Complete(Check, frozen=True, tag="complete"):
    """The trace is complete, by its declared span count."""

    set: str | SpanSet = RUN


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


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checks, and the sets of spans that they name.

    Raises JudgeError where there is no check, where one names no set, or where two have one id.
    """

    checks: tuple[AnyCheck, ...]
    sets: dict[str, SpanSet] = {}
    version: int = 1

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise _flawed(f"version {self.version} is unknown; this program reads {VERSION}")
        if not self.checks:
            raise _flawed("there are no [[checks]], so everything would pass")
        ids: set[str] = set()
        for number, check in enumerate(self.checks):
            if check.id in ids:
                raise _flawed(f"two checks have the id {check.id!r}", f"$.checks[{number}].id")
            ids.add(check.id)
            for key in _KEYS_OF_SETS:
                name = getattr(check, key, None)
                if isinstance(name, str) and name not in self.sets:
                    known = ", ".join(sorted(self.sets)) or "none"
                    raise _flawed(
                        f"{key} = {name!r} names no set; there are {known}",
                        f"$.checks[{number}].{key}",
                    )

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """A gate from a dictionary of what its TOML would say; raises JudgeError."""
        try:
            return msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise _flaw(error) from error

    @classmethod
    def from_toml(cls, text: str, origin: str = "the gate") -> Self:
        """A gate from the text of its TOML; `origin` names it in errors; raises JudgeError."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise GateError(f"{origin} is not TOML: {error}.") from error
        try:
            return msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            flaw = _flaw(error)
            line = f", line {_line(text, flaw.place, flaw.reason)}" if flaw.place else ""
            raise GateError(f"{origin}{line}: {flaw.reason}.") from error

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """A gate from a TOML file; raises JudgeError with the line and the reason."""
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GateError(f"The gate {path} cannot be read: {error}.") from error
        return cls.from_toml(text, str(path))


VERSION = 1
_KEYS_OF_SETS = ("set", "after", "other")


def default_gate() -> Gate:
    """The gate of Trading Graph's own runs."""
    text = (files("trading_graph.otel.verdict") / "gate.toml").read_text("utf-8")
    return Gate.from_toml(text, "the default gate")


def _flaw(error: msgspec.ValidationError) -> GateError:
    """What is wrong, and the place that msgspec tells, such as `$.checks[2].limit_s`."""
    if isinstance(error.__cause__, GateError):
        return error.__cause__
    reason, _, place = str(error).partition(" - at ")
    return _flawed(f"{reason[0].lower()}{reason[1:]}", place.strip("`") or "$")


def _flawed(reason: str, place: str = "") -> GateError:
    at = f" at {place}" if place else ""
    return GateError(f"The gate cannot be used{at}: {reason}.", reason, place)


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
