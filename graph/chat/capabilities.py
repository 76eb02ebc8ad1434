"""What a model of a service accepts, and the ladder down which its refusals lead.

Services that speak OpenAI's protocol differ in what they take. `Capabilities` starts from the
profile of the service and moves one step down when a refusal names a parameter that was sent. No
step is taken without such a refusal, so the richest accepted way is the one in use.

This module is light: the settings import it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, Self

from trading_graph.graph.chat.refusal import Refusal


class Api(StrEnum):
    """The two protocols of OpenAI."""

    CHAT = "chat"
    RESPONSES = "responses"


class Forcing(StrEnum):
    """How one structured answer is asked for, the richest way first."""

    NAMED = "named"
    """A tool that `tool_choice` names."""
    REQUIRED = "required"
    """One tool, and `tool_choice: required`."""
    AUTO = "auto"
    """One tool, and an instruction to call it."""
    JSON_SCHEMA = "json_schema"
    """A `response_format` with the schema."""
    JSON_TEXT = "json_text"
    """The schema in the prompt, and JSON in the text."""


class Withholding(StrEnum):
    """What becomes of the tools in a turn that may call none, after a turn that did."""

    NONE = "none"
    """They are sent with `tool_choice: none`."""
    DROPPED = "dropped"
    """They are not sent."""
    OFFERED = "offered"
    """They are sent, with an instruction not to call them."""


class SystemRole(StrEnum):
    """The role of the instructions; with `user` they head the first message of the user."""

    SYSTEM = "system"
    DEVELOPER = "developer"
    USER = "user"


REASONING_FIELDS = (
    "reasoning_content",
    "reasoning_details",
    "reasoning_text",
    "reasoning",
    "thinking_blocks",
    "extra_content",
)
"""The fields of a message in which services send what has to come back."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model of a service accepts; the defaults are those of an unknown service.

    `version_path` puts `/v1` behind a base address without a path. `full_schemas` sends JSON
    schemas with all their keywords; `parallel_tool_calls` asks for several calls a turn, where they
    come only if they are asked for. `null_content` sends null, not an empty text, as the content of
    a message of calls alone. `reasoning_field` names the one field of a model's message that
    goes back; None sends back whatever came, an empty name nothing. `reasoning_effort` is sent
    unless it is empty.
    """

    api: Api = Api.CHAT
    forcing: Forcing = Forcing.NAMED
    withholding: Withholding = Withholding.NONE
    system_role: SystemRole = SystemRole.SYSTEM
    stream: bool = True
    stream_options: bool = True
    temperature: bool = True
    full_schemas: bool = True
    parallel_tool_calls: bool = False
    null_content: bool = True
    version_path: bool = True
    reasoning_field: str | None = None
    reasoning_effort: str = ""

    def with_facts(self, facts: Mapping[str, Any]) -> Self:
        """The same with other values of some fields, as plain data has them.

        Raises ValueError for a value that a field cannot have; unknown fields are left out.
        """
        changes: dict[str, Any] = {
            name: _KINDS[name](value) for name, value in facts.items() if name in _KINDS
        }
        if facts.get("tool_choice_none") is False:
            needs_tools = facts.get("tools_with_history") is True
            withholding = Withholding.OFFERED if needs_tools else Withholding.DROPPED
            changes.setdefault("withholding", withholding)
        return replace(self, **changes)

    def difference(self, other: "Capabilities") -> dict[str, Any]:
        """The fields in which the other differs, with the other's values."""
        return {
            each.name: getattr(other, each.name)
            for each in fields(self)
            if getattr(self, each.name) != getattr(other, each.name)
        }

    def steps_down(self, refusal: Refusal, sent: Mapping[str, Any]) -> Iterator["StepDown"]:
        """The steps that a refusal of a request allows, the best one first.

        `sent` is the request's body; what it did not carry cannot be given up.
        """
        for parameter, rule in _RULES:
            for change in rule(self, refusal, sent):
                yield StepDown(replace(self, **change), parameter, change)


@dataclass(frozen=True, slots=True)
class StepDown:
    """One step: the parameter that the refusal names, and what changes."""

    capabilities: Capabilities
    parameter: str
    change: Mapping[str, Any]

    @property
    def words(self) -> str:
        """The step in a few words."""
        changes = (f"{name} is {_shown(value)} now" for name, value in self.change.items())
        return f"{self.parameter} was refused; {', '.join(changes)}"


@dataclass(frozen=True, slots=True)
class Override:
    """What the settings say of a model; None leaves a field as it is.

    `temperature` is the number to send; the others replace the fields of `Capabilities`.
    """

    api: Api | None = None
    forcing: Forcing | None = None
    reasoning_effort: str | None = None
    temperature: float | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The fields of `Capabilities` that the settings give."""
        names = ("api", "forcing", "reasoning_effort")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return given if self.temperature is None else {**given, "temperature": True}

    def apply(self, capabilities: Capabilities) -> Capabilities:
        """The capabilities with the fields that the settings give."""
        return replace(capabilities, **self.given)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither true nor false")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "api": Api,
    "forcing": Forcing,
    "withholding": Withholding,
    "system_role": SystemRole,
    "stream": _flag,
    "stream_options": _flag,
    "temperature": _flag,
    "full_schemas": _flag,
    "parallel_tool_calls": _flag,
    "null_content": _flag,
    "version_path": _flag,
    "reasoning_field": lambda value: None if value is None else _name(value),
    "reasoning_effort": _name,
}


def _shown(value: Any) -> str:
    match value:
        case bool():
            return "on" if value else "off"
        case "":
            return "not sent"
        case _:
            return str(value)


_Sent = Mapping[str, Any]
_Changes = Iterator[dict[str, Any]]


def _api(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if now.api is Api.CHAT and refusal.names(r"v1/responses|responses api"):
        yield {"api": Api.RESPONSES}
    if now.api is Api.RESPONSES and refusal.names(r"(?<!\w)/?(v1/)?responses\b"):
        yield {"api": Api.CHAT}


def _version_path(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if now.version_path and refusal.status in (404, 405) and not refusal.names(r"\bmodels?\b"):
        yield {"version_path": False}


def _reasoning_effort(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if not refusal.names(r"reasoning[_. ]effort|\bthinking level\b"):
        return
    if now.reasoning_effort:
        yield {"reasoning_effort": ""}
    elif "tools" in sent:
        yield {"reasoning_effort": "none"}


def _tool_choice(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if not refusal.names(r"tool[_ ]?choice|function[_ ]calling[_ ](config|mode)"):
        return
    match sent.get("tool_choice"):
        case "none":
            yield {"withholding": Withholding.DROPPED}
            yield {"withholding": Withholding.OFFERED}
        case "required":
            yield {"forcing": Forcing.AUTO}
        case dict():
            yield {"forcing": Forcing.REQUIRED}


def _response_format(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    named = refusal.names(r"response[_ ]format|json[_ ]schema|structured outputs?|text\.format")
    if named and ("response_format" in sent or "text" in sent):
        yield {"forcing": Forcing.JSON_TEXT}


def _stream_options(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if "stream_options" in sent and refusal.names(r"stream_options|include_usage"):
        yield {"stream_options": False}


def _stream(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    said = r"['\"`]stream['\"`]|to stream\b|\bstreaming\b"
    if now.stream and (refusal.param == "stream" or refusal.names(said)):
        yield {"stream": False}


def _parallel_tool_calls(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if "parallel_tool_calls" in sent and refusal.names(r"parallel[_ ]tool[_ ]calls"):
        yield {"parallel_tool_calls": False}


def _temperature(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if "temperature" in sent and refusal.names(r"\btemperature\b"):
        yield {"temperature": False}


def _system_role(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if now.system_role is SystemRole.DEVELOPER and refusal.names(r"\bdeveloper\b"):
        yield {"system_role": SystemRole.SYSTEM}
        yield {"system_role": SystemRole.USER}
    said = r"system (role|message|prompt|instruction)|role\W{0,3}(of )?\W{0,3}system|'system'"
    if now.system_role is SystemRole.SYSTEM and refusal.names(said):
        yield {"system_role": SystemRole.USER}
        yield {"system_role": SystemRole.DEVELOPER}


def _schemas(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    said = r"additionalProperties|\$ref|\$defs|exclusiveM\w+|\bschemas?\b|\banyOf\b|\bconst\b"
    carries = "tools" in sent or "response_format" in sent or "text" in sent
    if carries and now.full_schemas and refusal.names(said):
        yield {"full_schemas": False}


def _reasoning_field(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    for name in REASONING_FIELDS:
        if not refusal.names(rf"(?<!\w){name}(?!\w)" if "_" in name else rf"['\"`.]{name}\b"):
            continue
        if any(name in each for each in sent.get("messages", ())):
            yield {"reasoning_field": ""}
        elif now.reasoning_field != name:
            yield {"reasoning_field": name}


def _content(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    # Null is what only the content is; a place inside of it speaks of a list of parts.
    said = r"\bcontent\b(?![.\[]\d| ?-?(type|filter|management|policy|safety))|\bnull\b|NoneType"
    if not refusal.names(said):
        return
    contents = [each.get("content") for each in sent.get("messages", ()) if "tool_calls" in each]
    if None in contents:
        yield {"null_content": False}
    elif "" in contents:
        yield {"null_content": True}


def _tools(now: Capabilities, refusal: Refusal, sent: _Sent) -> _Changes:
    if not refusal.names(r"(?<![\w.\[])tools?\b(?!_)|function[_ ]call"):
        return
    if "tools" not in sent and now.withholding is Withholding.DROPPED:
        yield {"withholding": Withholding.OFFERED}
    if len(sent.get("tools", ())) == 1 and now.forcing in _BY_TOOL:
        yield {"forcing": Forcing.JSON_SCHEMA}


_BY_TOOL = (Forcing.NAMED, Forcing.REQUIRED, Forcing.AUTO)

_RULES: tuple[tuple[str, Callable[[Capabilities, Refusal, _Sent], _Changes]], ...] = (
    ("chat/completions", _api),
    ("reasoning_effort", _reasoning_effort),
    ("tool_choice", _tool_choice),
    ("response_format", _response_format),
    ("stream_options", _stream_options),
    ("temperature", _temperature),
    ("parallel_tool_calls", _parallel_tool_calls),
    ("the reasoning sent back", _reasoning_field),
    ("the role of the instructions", _system_role),
    ("the schema", _schemas),
    ("empty content", _content),
    ("stream", _stream),
    ("tools", _tools),
    ("the address with /v1", _version_path),
)
"""Which words speak of what: those that say most come first."""


def first_override(overrides: Mapping[str, Override], model: str) -> Override:
    """What the settings say of a model: by its name, else by the first pattern that fits."""
    if model in overrides:
        return overrides[model]
    for pattern, override in overrides.items():
        if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), model):
            return override
    return Override()
