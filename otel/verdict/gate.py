"""A gate: named sets of spans and the relations that have to hold between them, as TOML.

A file with an error is refused, with the line and the reason.
"""

import re
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from trading_graph.otel.errors import GateError
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.vocabularies import Role


class SpanSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which spans: all conditions have to hold; a name may contain `*`."""

    role: Role | None = None
    name: tuple[str, ...] = ()
    attributes: dict[str, Any] = {}

    def select(self, trace: SpanTable, run: int) -> list[int]:
        """The rows of the set at or below the run, in order of start.

        `run` is the row under judgement; it has the role RUN even if its attributes do not say so.
        """
        rows = trace.below(run) if self.role is None else trace.of_role(self.role, run)
        if self.role is Role.RUN and trace.roles[run] is not Role.RUN:
            rows = sorted([run, *rows])
        if self.name and "*" not in self.name:
            names = trace.names
            matches = {name: self._matches(name) for name in {names[row] for row in rows}}
            rows = [row for row in rows if matches[names[row]]]
        if self.attributes:
            rows = [row for row in rows if self._has(trace.attributes(row))]
        return list(rows)

    def _matches(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.name)

    def _has(self, attributes: Mapping[str, Any]) -> bool:
        return all(attributes.get(key) == value for key, value in self.attributes.items())

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
    """A set of spans for a check: all conditions have to hold; a name may contain `*`.

    Raises JudgeError for an unknown role.
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
    """The fields of every check: an id, a title for people, and the set of spans that it is about.

    `set` is a set itself, or the name of one of the gate's sets. Id and title default to the
    relation and the set. With `strength = "proven"`, what holds without proof fails too.
    """

    set: str | SpanSet
    id: str = ""
    title: str = ""
    strength: Literal["proven"] | None = None

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
    """Every span of the set starts at most `limit_s` after the end of the last span of `after`."""

    after: str | SpanSet
    limit_s: float


class Overlap(Check, frozen=True, tag="overlap"):
    """The set's spans overlap, and so does the work below them: both ratios are `at_least`."""

    at_least: float = 0.5


TURN = "turn"
"""A key of `group_by`: the LLM turn that asked for a tool call, whatever the framework nests."""

FAN_OUT = "fan_out"
"""A key of `group_by`: the fan-out that a span is a branch of, declared or found."""

REQUEST = "request"
"""A key of `no_duplicates`: what is asked for, such as a tool with its arguments."""


class LeafParallelism(Check, frozen=True, tag="leaf_parallelism"):
    """The spans of each group run at once at leaf level.

    A key is `turn`, `fan_out`, `parent`, or the name of an attribute; the first two stand alone.
    """

    group_by: tuple[str, ...] = ()

    @property
    def structure(self) -> str | None:
        """The key that groups by structure; None where attributes or parents do."""
        return self.group_by[0] if self.group_by in ((TURN,), (FAN_OUT,)) else None


class Duration(Check, frozen=True, tag="duration"):
    """No span of the set takes longer than `limit_s`.

    A run with simulated latencies is also projected to `project_call_s` seconds for each LLM call.
    """

    limit_s: float
    project_call_s: float | None = None


class EndsWithin(Check, frozen=True, tag="ends_within"):
    """Every span of the set ends at most `limit_s` after the last start of `after`."""

    after: str | SpanSet
    limit_s: float


class Ordered(Check, frozen=True, tag="ordered"):
    """No span of the set starts before the one before it, in order of start, has ended."""


class Linked(Check, frozen=True, tag="linked"):
    """Every span of the set links to a span of `to`, and starts at most `limit_s` after its end.

    Without `limit_s` only the link counts. Of several linked spans the last to end counts.
    """

    to: str | SpanSet
    limit_s: float | None = None


class MaxGap(Check, frozen=True, tag="max_gap"):
    """Between a span of the set and the next to start, at most `limit_s` pass without any."""

    limit_s: float


class Before(Check, frozen=True, tag="before"):
    """Every span of the set has ended before the first of `other` starts."""

    other: str | SpanSet


class NoDuplicates(Check, frozen=True, tag="no_duplicates"):
    """No two spans of the set have the same value of the attribute `key`, or the same `request`."""

    key: str


class Count(Check, frozen=True, tag="count"):
    """The set has at least `at_least` and at most `at_most` spans.

    `at_least_from` names an attribute of the run that holds the first.
    """

    at_least: int = 0
    at_least_from: str | None = None
    at_most: int | None = None


class NoErrors(Check, frozen=True, tag="no_errors"):
    """No span of the set has failed, was cancelled, timed out, or was retried."""


class Chain(Check, frozen=True, tag="chain"):
    """At most `limit` spans of the set follow each other; `limit_from` names a run's attribute."""

    limit: int | None = None
    limit_from: str | None = None


class LimitUsed(Check, frozen=True, tag="limit_used"):
    """While anybody waits for a declared limit, `at_least` of it is in use, as a share.

    The limit is one that is declared at, above or below the spans of the set.
    """

    limit: str
    at_least: float = 0.9


class LoopLag(Check, frozen=True, tag="loop_lag"):
    """No span of the set saw the event loop blocked for longer than `limit_ms`."""

    limit_ms: float


class Complete(Check, frozen=True, tag="complete"):
    """The trace is complete, according to its declared span count."""

    set: str | SpanSet = RUN


AnyCheck = (
    StartsWithin
    | Overlap
    | LeafParallelism
    | Duration
    | MaxGap
    | EndsWithin
    | Ordered
    | Linked
    | Before
    | NoDuplicates
    | Count
    | NoErrors
    | Chain
    | LimitUsed
    | LoopLag
    | Complete
)


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checks, and the sets of spans that they name.

    Raises JudgeError if there is no check, if one names an unknown set, or if two have the same id.
    """

    checks: tuple[AnyCheck, ...]
    sets: dict[str, SpanSet] = {}
    version: int = 1

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise _error(f"version {self.version} is unknown; this program reads {VERSION}")
        if not self.checks:
            raise _error("there are no [[checks]], so everything would pass")
        ids: set[str] = set()
        for number, check in enumerate(self.checks):
            if check.id in ids:
                raise _error(f"two checks have the id {check.id!r}", f"$.checks[{number}].id")
            ids.add(check.id)
            for key in _KEYS_OF_SETS:
                name = getattr(check, key, None)
                if isinstance(name, str) and name not in self.sets:
                    known_sets = ", ".join(sorted(self.sets)) or "none"
                    raise _error(
                        f"{key} = {name!r} names no set; there are {known_sets}",
                        f"$.checks[{number}].{key}",
                    )

    def with_proof(self) -> Self:
        """The same gate, in which every check demands proof."""
        checks = tuple(msgspec.structs.replace(each, strength="proven") for each in self.checks)
        return msgspec.structs.replace(self, checks=checks)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Self:
        """A gate from a dictionary with the structure of the TOML; raises JudgeError."""
        try:
            return msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise _flaw(error) from error

    @classmethod
    def from_toml(cls, text: str, origin: str = "the gate") -> Self:
        """A gate from TOML text; `origin` names it in errors; raises JudgeError."""
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
_KEYS_OF_SETS = ("set", "after", "to", "other")


def _flaw(error: msgspec.ValidationError) -> GateError:
    """The error, with the reason and the place from msgspec, such as `$.checks[2].limit_s`."""
    if isinstance(error.__cause__, GateError):
        return error.__cause__
    reason, _, place = str(error).partition(" - at ")
    return _error(f"{reason[0].lower()}{reason[1:]}", place.strip("`") or "$")


def _error(reason: str, place: str = "") -> GateError:
    at = f" at {place}" if place else ""
    return GateError(f"The gate cannot be used{at}: {reason}.", reason, place)


def _line(text: str, place: str, reason: str = "") -> int:
    """The line of a place such as `$.checks[2].limit_s`, or of its table, else 1.

    The place does not name a set, so for sets the search uses what the reason quotes.
    """
    lines = text.splitlines()
    start = 0
    if check := re.match(r"\$\.checks\[(\d+)\]", place):
        headers = [number for number, line in enumerate(lines) if line.strip() == "[[checks]]"]
        start = headers[int(check[1])] if int(check[1]) < len(headers) else 0
    key = re.search(r"\.(\w+)(\[\d+\])?$", place)
    quote = re.search(r"[`'](\w+)[`']", reason)
    for pattern in (key and rf"\s*{key[1]}\s*=", quote and rf".*\b{quote[1]}\b"):
        for number in range(start, len(lines)):
            if pattern and re.match(pattern, lines[number]):
                return number + 1
            if check and number > start and lines[number].lstrip().startswith("["):
                break
    return start + 1
