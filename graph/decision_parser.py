"""Reading a structured answer: from a tool call, or as JSON in the text of the message.

Models that cannot call a function write the call, or its arguments, as text: bare, fenced, between
tags, behind their thoughts. All of that is read. But nothing is mended and nothing is chosen: JSON
that is not whole, two answers that differ, and an answer that its own surroundings take back or
contradict are refused, with what is wrong in words for the model.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pydantic
from langchain_core.messages import AIMessage, AIMessageChunk

from trading_graph.graph.chat.text_markup import ARGUMENT_NAMES, without_thoughts
from trading_graph.graph.decision_values import read_action
from trading_graph.graph.decisions import MAY_BE_LEFT_OUT, Action
from trading_graph.graph.tool_calls import problems, tool_calls_of

AnswerT = TypeVar("AnswerT", bound=pydantic.BaseModel)


@dataclass(frozen=True, slots=True)
class Reading(Generic[AnswerT]):
    """What a message states: the answer, or None and what is wrong with it."""

    answer: AnswerT | None
    objection: str | None = None


class _UnreadableError(ValueError):
    """What is wrong with an answer, in words for the model."""


_NAMES: Mapping[str, tuple[str, ...]] = {
    "action": ("decision", "recommendation", "signal", "verdict", "rating", "side"),
    "confidence": ("confidencescore", "confidencelevel"),
    "entry": ("entryprice",),
    "stop": ("stoploss", "stopprice", "stoplossprice"),
    "target": ("targetprice", "takeprofit", "pricetarget", "takeprofitprice"),
    "horizondays": ("horizon", "holdingdays"),
    "positionpct": ("positionpercent", "positionsizepct", "positionsizepercent"),
    "rationale": ("reasoning", "justification"),
}
"""Other names of fields, without their case and punctuation."""

_WRAPPERS = frozenset(("answer", "arguments", "output", "parameters", "response", "result"))
_TAGS = frozenset(
    (
        "answer",
        "decision",
        "final",
        "finaldecision",
        "function",
        "functioncall",
        "json",
        "output",
        "response",
        "toolcall",
        "toolcalls",
    )
)
"""Tags between which an answer may stand; between any other it is quoted material."""
_DEPTH = 4

_FENCE = re.compile(r"```[a-zA-Z]*|~~~[a-zA-Z]*|<\|[a-z_]+\|>|\[/?TOOL_CALLS\]")
# What is before an object; braces around words, as templates have them, are none. The group is not
# possessive: in Python 3.11.2 such a group that fails has gone past what it matched.
_PROSE = re.compile(r'[^{]*+(?:\{\s*+[^{}"\s][^{}"]{0,200}+\}[^{]*+)*')
_OPENING_TAG = re.compile(r"<([A-Za-z_][\w.=-]*)[^<>]*>$")
_TAG = re.compile(r"</?[A-Za-z_][\w.=-]*[^<>]*>")
# These are for small letters, and begin with letters: so they are several times faster.
_ACTION_WORDS = ("buy", "hold", "sell")
_ACTION_WORD = re.compile(r"(?:buy(?<!\wbuy)|hold(?<!\whold)|sell(?<!\wsell))\b(?!-)")
_STATED = re.compile(
    r"\b(?:final [a-z ]{0,20}proposal|decision|action|recommendation|verdict|rating|signal)\b"
    r"[^a-z0-9]{0,12}(?:is\s{1,8}(?:to\s{1,8})?)?[^a-z0-9]{0,6}(buy|hold|sell)\b"
)
_DENIED = re.compile(
    r"(?:\b(?:not|never|avoid|against)|n['\u2019]t)\s{1,8}(?:(?:to|a)\s{1,8})?(buy|sell)(?:ing)?\b"
)
_BEFORE_ACTION, _AFTER_ACTION = 80, 10
"""More characters than a match of these two has before its action, and from there on."""
_TAKEN_BACK = re.compile(
    r"\b(?:not|never|no longer|cannot|reject\w*|instead|example|e\.g|hypothetical\w*|would have"
    r"|previous\w*|draft|wrong|ignore\w*|retract\w*|withdraw\w*|correction|reference|unlike"
    r"|against|avoid\w*|disagree\w*|proposed|proposal|rather than|template|placeholder\w*)\b"
    r"|n['\u2019]t\b"
)
_NEAR = 4_000
"""How many characters before an answer may be about it; a paragraph is seldom longer."""


def read_answer(message: AIMessage, schema: type[AnswerT]) -> Reading[AnswerT]:
    """Read the answer that a message gives in the schema's form, or say what is wrong with it."""
    text = without_thoughts(message.text)
    try:
        answers = list(_called(message, schema))
        if not answers:
            answers = list(_written(text, schema))
            if not answers:
                raise _UnreadableError(
                    f"the answer neither calls {schema.__name__} nor is one JSON object for it"
                )
        else:
            answers += _also_written(text, schema)
        return Reading(_one_of(answers, schema, text))
    except _UnreadableError as error:
        return Reading(None, str(error))
    except pydantic.ValidationError as error:
        return Reading(None, problems(error))


def _one_of(answers: list[dict[str, Any]], schema: type[AnswerT], text: str) -> AnswerT:
    """The one answer that all objects give; raises _UnreadableError or ValidationError."""
    stated = {_stated_action(each) for each in answers}
    if len(stated) > 1:
        raise _UnreadableError("it gives several answers that contradict each other; give one")
    valid: list[AnswerT] = []
    first_error: pydantic.ValidationError | None = None
    for each in answers:
        try:
            valid.append(schema.model_validate(_fields(each, schema)))
        except pydantic.ValidationError as error:
            first_error = first_error or error
    if not valid:
        assert first_error is not None
        raise first_error
    if any(each != valid[0] for each in valid):
        raise _UnreadableError("it gives several answers that differ; give one")
    _check_prose(_without_objects(text), str(getattr(valid[0], "action", "")))
    return valid[0]


def _check_prose(prose: str, action: str) -> None:
    """Refuse an answer beside which the text states or ends with another action, or denies it."""
    prose = prose.lower()
    near = list(_near_actions(prose))
    stated = {match[1].upper() for part in near for match in _STATED.finditer(part)}
    others = (stated | _actions_in(prose.rstrip().rsplit("\n\n", 1)[-1])) - {action}
    denied = {match[1].upper() for part in near for match in _DENIED.finditer(part)}
    if others or action in denied:
        said = ", ".join(sorted(others)) or f"not {action}"
        raise _UnreadableError(f"its text says {said} and its fields say {action}; give one answer")


def _near_actions(prose: str) -> Iterator[str]:
    """The parts of a text in small letters that name an action, with what stands before it."""
    start = end = 0
    for place in sorted(place for word in _ACTION_WORDS for place in _places(prose, word)):
        if place - _BEFORE_ACTION > end:
            yield prose[start:end]
            start = place - _BEFORE_ACTION
        end = place + _AFTER_ACTION
    yield prose[start:end]


def _places(text: str, word: str) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


def _actions_in(text: str) -> set[str]:
    """The actions that a text in small letters names."""
    parts = _near_actions(text)
    return {word.upper() for part in parts for word in _ACTION_WORD.findall(part)}


def _called(message: AIMessage, schema: type[AnswerT]) -> Iterator[dict[str, Any]]:
    """The arguments of the calls of the schema's function."""
    for name, arguments in _calls(message):
        if not _is_named(name, schema):
            continue
        objects = [arguments] if isinstance(arguments, dict) else _parse_all(arguments)
        # Some services send an empty object before the arguments.
        objects = [each for each in objects if each]
        if not objects:
            raise _UnreadableError(f"the call of {schema.__name__} has no arguments")
        for each in objects:
            unwrapped = _unwrap(each, schema)
            yield each if unwrapped is None else unwrapped


def _calls(message: AIMessage) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """Each call's name and arguments: the text as it came, where the message still has it.

    LangChain completes arguments that break off: 50 that became 5 would be read as 5.
    """
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        for chunk in message.tool_call_chunks:
            yield chunk.get("name") or "", chunk.get("args") or ""
        return
    for call in tool_calls_of(message):
        yield call.name, call.arguments if isinstance(call.arguments, str) else dict(call.arguments)


def _parse_all(text: str) -> list[dict[str, Any]]:
    objects = list(_objects(text))
    if _without_objects(text).strip(" \t\r\n`[],"):
        text = _FENCE.sub("", _without_objects(text))
        if text.strip(" \t\r\n`[],"):
            raise _UnreadableError("the arguments are not valid JSON")
    return [value for value, _, _ in objects]


def _written(text: str, schema: type[AnswerT]) -> Iterator[dict[str, Any]]:
    """The answers in a text; raises _UnreadableError for one that its surroundings take back."""
    place = 0
    objects = list(_objects(text))
    for number, (value, start, end) in enumerate(objects):
        following = objects[number + 1][1] if number + 1 < len(objects) else len(text)
        answer = _unwrap(value, schema)
        if answer is not None:
            _check_surroundings(text[place:start], text[end:following], answer)
            yield answer
        place = end


def _also_written(text: str, schema: type[AnswerT]) -> list[dict[str, Any]]:
    """The answers in the text beside a call; a text that cannot be read takes nothing back."""
    try:
        return [
            answer
            for value, _, _ in _objects(text)
            if (answer := _unwrap(value, schema)) is not None
        ]
    except _UnreadableError:
        return []


def _objects(text: str) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Every JSON object that stands in a text, with its place; raises _UnreadableError.

    An object that breaks off ends the search: what is whole inside of it was not said by itself.
    """
    place = 0
    # Placeholders first, since to say where JSON fails takes longer the longer the text is.
    while (prose := _PROSE.match(text, place)) and (start := prose.end()) < len(text):
        try:
            value, place = _DECODER.raw_decode(text, start)
        except _UnreadableError:
            raise
        except (ValueError, RecursionError):
            raise _UnreadableError("the JSON is not valid or not whole") from None
        yield value, start, place


def _without_objects(text: str) -> str:
    pieces, place = [], 0
    try:
        for _, start, end in _objects(text):
            pieces.append(text[place:start])
            place = end
    except _UnreadableError:
        pass
    return " ".join([*pieces, text[place:]])


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields and fields[name] != value:
            raise _UnreadableError(f"it gives {name} twice, with different values")
        fields[name] = value
    return fields


# Models break lines inside strings; NaN and Infinity are no numbers of JSON, so they stay words.
_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=str, strict=False)


def _unwrap(value: Any, schema: type[AnswerT]) -> dict[str, Any] | None:
    """The fields of an answer, taken out of what a call looks like; None for any other object."""
    for _ in range(_DEPTH):
        if isinstance(value, str):
            objects = _parse_all(value)
            value = objects[0] if len(objects) == 1 else None
        if not isinstance(value, dict):
            return None
        function = value.get("function")
        if isinstance(function, dict):
            value = function
            continue
        name = value.get("name", function)
        arguments = next((value[key] for key in ARGUMENT_NAMES if key in value), None)
        if isinstance(name, str) and arguments is not None:
            if not _is_named(name, schema):
                return None
            value = arguments
            continue
        if len(value) == 1:
            ((key, inner),) = value.items()
            if _is_named(key, schema) or (_plain(key) in _WRAPPERS and isinstance(inner, dict)):
                value = inner
                continue
        return value if _stated_action(value) is not None else None
    return None


def _is_named(name: str, schema: type[AnswerT]) -> bool:
    """Whether a name is the schema's, perhaps behind a name space: functions.FinalDecision."""
    return _plain(re.split(r"[.:/]", name)[-1]) == schema.__name__.lower()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _stated_action(fields: Mapping[str, Any]) -> str | None:
    """The action that an object states, as it reads; None where it states none."""
    values = [value for key, value in fields.items() if _plain(key) == "action"]
    values = values or [value for key, value in fields.items() if _plain(key) in _NAMES["action"]]
    if not values:
        return None
    try:
        return read_action(values[0])
    except ValueError:
        return f"{values[0]}"


def _fields(answer: Mapping[str, Any], schema: type[AnswerT]) -> dict[str, Any]:
    """The object under the schema's own names, without what the schema does not know."""
    by_name: dict[str, list[Any]] = {}
    for key, value in answer.items():
        by_name.setdefault(_plain(key), []).append(value)
    fields: dict[str, Any] = {}
    for name in schema.model_fields:
        plain = _plain(name)
        own = by_name.get(plain, [])
        others = [value for other in _NAMES.get(plain, ()) for value in by_name.get(other, [])]
        if name == "action":
            others = [value for value in others if _is_action(value)] if own else others
            own, others = [_as_action(each) for each in own], [_as_action(each) for each in others]
        elif own:
            others = []
        values = own + others
        if any(value != values[0] for value in values):
            raise _UnreadableError(f"it gives {name} several times, with different values")
        if values:
            fields[name] = values[0]
        elif name in MAY_BE_LEFT_OUT:
            fields[name] = None
    return fields


def _is_action(value: Any) -> bool:
    return _as_action(value) in list(Action)


def _as_action(value: Any) -> Any:
    try:
        return read_action(value)
    except ValueError:
        return value


def _check_surroundings(before: str, after: str, answer: Mapping[str, Any]) -> None:
    """Refuse an answer that the words around it take back, or that is quoted material."""
    before = before[-_NEAR:]
    tag = _OPENING_TAG.search(_FENCE.sub("", before).rstrip())
    if tag and _plain(tag[1].partition("=")[0]) not in _TAGS:
        raise _UnreadableError(
            f"its JSON stands between <{tag[1]}> tags, as material; give the answer alone"
        )
    before, after = (_TAG.sub("", _FENCE.sub("", each)).strip() for each in (before, after))
    if before.endswith(('":', ",", "':")):
        raise _UnreadableError("the JSON is not valid or not whole")
    paragraph = before.rsplit("\n\n", 1)[-1]
    action = _stated_action(answer)
    for words in (paragraph.lower(), after.lower()):
        others = _actions_in(words) - {action}
        if others or (action != Action.HOLD and _TAKEN_BACK.search(words)):
            raise _UnreadableError(
                "the words around its JSON may take it back; give the JSON object alone"
            )
