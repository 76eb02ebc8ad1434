"""What a model writes into its text beside the answer: thoughts between tags, and tool calls.

A service that does not know its model's template passes both on as words. Of calls, those forms are
read that cannot be meant for people: between tags of their own, behind `[TOOL_CALLS]`, and JSON
that is all of the text. What is quoted stays text: in a fence or backticks, behind `>`, between
other tags.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

_NAMES = r"(?:think|thinking|thought|reasoning)\b[^<>]{0,80}>"
_TAG = re.compile(rf"<(/?){_NAMES}", re.IGNORECASE)
_CLOSING_TAG = re.compile(rf"</{_NAMES}", re.IGNORECASE)


def without_thoughts(text: str) -> str:
    """The text without its thoughts; one that never ends takes the rest of the text with it.

    A closing tag without an opening one ends a thought that the service's template began: all that
    stands before it was thought.
    """
    parts: list[str] = []
    place = 0
    while tag := _TAG.search(text, place):
        closing = tag
        if tag[1]:
            parts.clear()
        else:
            parts.append(text[place : tag.start()])
            # A tag inside a thought means nothing.
            end = _CLOSING_TAG.search(text, tag.end())
            if end is None:
                return "".join(parts).strip()
            closing = end
        place = closing.end()
    return "".join([*parts, text[place:]]).strip() if place else text


ARGUMENT_NAMES = ("arguments", "parameters", "args", "input")
"""The names under which models write the arguments of a call."""

NamedCall = tuple[str, str]
"""A function's name, and the JSON text of its arguments' object."""

_HINT = re.compile(r"<(?:tool_call|function)|\[TOOL_CALLS\]|\A[\s`~a-z]*+[\[{]", re.IGNORECASE)
_PART = re.compile(
    r"""
    (?P<quoted> ^[ \t]*+ (?P<fence>```|~~~) .*? (?:^[ \t]*+(?P=fence)|\Z)
      | ^[ \t]*+ > [^\n]*+
      | `[^`\n]++`
    )
    # The tag that ends a call is a sign to stop, which some services cut off.
    | <(?P<tag>tool_call|function_call)\b[^<>]*+> (?P<body>.*?)
      (?: </(?P=tag)> | (?=<(?P=tag)\b) | \Z )
    | <function=(?P<function>[\w.-]++)> (?P<arguments>.*?) (?: </function> | (?=<function=) | \Z )
    | \[TOOL_CALLS\] (?P<listed>.*?) (?: (?=\[TOOL_CALLS\]) | \Z )
    | < (?P<closing>/?) (?P<name>[a-z_][\w.-]*+) [^<>]*+ >
    """,
    re.IGNORECASE | re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_WRAPPERS = frozenset(("tool_calls", "function_calls"))
_WRAPPER_TAG = re.compile(r"</?(?:tool_calls|function_calls)>", re.IGNORECASE)
_FENCED = re.compile(r"(```|~~~)[a-z_]*+\s(.*?)(?:\1)?", re.DOTALL | re.IGNORECASE)
_FUNCTION = re.compile(
    r"(?:<function=(?P<name>[\w.-]++)>|(?P<mistral>[\w.-]++)(?:\[ARGS\])?(?=\{))"
    r"(?P<arguments>.*?)(?:</function>)?",
    re.DOTALL | re.IGNORECASE,
)
_PARAMETER = re.compile(
    r"\s*+<parameter=(?P<name>[\w.-]++)>(?P<value>.*?)</parameter>\s*+", re.DOTALL | re.IGNORECASE
)
_BETWEEN = re.compile(r"[\s,;]*+")
_DECODER = json.JSONDecoder(strict=False)


@dataclass(frozen=True, slots=True)
class WrittenCalls:
    """The calls in a text, and the text without them.

    `is_broken` says that the text ends with a call that cannot be read: it waits for an answer.
    """

    rest: str
    calls: tuple[NamedCall, ...] = ()
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where calls stand, and which; none where they cannot be read."""

    start: int
    end: int
    calls: tuple[NamedCall, ...]


def read_written_calls(text: str) -> WrittenCalls:
    """The calls that a text without thoughts makes."""
    if not _HINT.search(text):
        return WrittenCalls(text)
    whole = text.strip()
    if fenced := _FENCED.fullmatch(whole):
        whole = fenced[2].strip()
    if whole.startswith(("{", "[")) and (calls := _json_calls(whole)):
        return WrittenCalls("", calls)
    places = _places(whole)
    rest, end = [], 0
    for place in places:
        if place.calls:
            rest.append(whole[end : place.start])
            end = place.end
    calls = tuple(call for place in places for call in place.calls)
    if not calls:
        return WrittenCalls(text, is_broken=bool(places) and not whole[places[-1].end :].strip())
    rest.append(whole[end:])
    return WrittenCalls(_WRAPPER_TAG.sub("", "".join(rest)).strip(), calls)


def _places(text: str) -> list[_Place]:
    """The places of the calls that nothing quotes."""
    places: list[_Place] = []
    opened: dict[str, list[int]] = {}
    for part in _PART.finditer(text):
        name = (part["name"] or "").lower()
        if part["quoted"] is not None or name in _WRAPPERS:
            continue
        if not name:
            places.append(_Place(part.start(), part.end(), _calls_of(part)))
        elif not part["closing"]:
            opened.setdefault(name, []).append(part.start())
        elif opened.get(name):
            start = opened[name].pop()
            while places and places[-1].start > start:
                places.pop()
    return places


def _calls_of(part: re.Match[str]) -> tuple[NamedCall, ...]:
    if part["function"] is not None:
        return _function_call(part["function"], part["arguments"])
    body = (part["listed"] if part["body"] is None else part["body"]).strip()
    if function := _FUNCTION.fullmatch(body):
        return _function_call(function["name"] or function["mistral"], function["arguments"])
    return _json_calls(body)


def _json_calls(text: str) -> tuple[NamedCall, ...]:
    """The calls of a text that is JSON values and nothing else; none for any other text."""
    values: list[Any] = []
    place = 0
    try:
        while place < len(text):
            value, place = _DECODER.raw_decode(text, place)
            values += value if isinstance(value, list) else [value]
            if gap := _BETWEEN.match(text, place):
                place = gap.end()
        return tuple(map(_named_call, values))
    except (ValueError, RecursionError):
        return ()


def _named_call(value: Any) -> NamedCall:
    """The call that a JSON value is; raises ValueError."""
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict):
        raise ValueError("a call is an object")
    name = value.get("name", value.get("function"))
    arguments = next((value[each] for each in ARGUMENT_NAMES if each in value), None)
    if isinstance(arguments, str):
        arguments = json.loads(arguments or "{}")
    if not (isinstance(name, str) and name and isinstance(arguments, dict)):
        raise ValueError("a call has a name, and an object of arguments")
    return name, json.dumps(arguments)


def _function_call(name: str, text: str) -> tuple[NamedCall, ...]:
    """The call of a function whose arguments are a JSON object, or tags with one value each."""
    text = text.strip()
    if not text:
        return ((name, "{}"),)
    if text.startswith("{"):
        return _json_calls(f'{{"name": {json.dumps(name)}, "arguments": {text}}}')
    parameters = list(_PARAMETER.finditer(text))
    if "".join(each[0] for each in parameters) != text:
        return ()
    values = {each["name"]: _value(each["value"].strip()) for each in parameters}
    return ((name, json.dumps(values)),)


def _value(text: str) -> Any:
    """The value of a parameter: a list or an object where it is one, else the text."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
