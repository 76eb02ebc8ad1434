"""How a model writes a decision down: the variants of what deciding agents answer.

A wording changes the decision's fields, or the form in which they come: as text instead of a tool
call.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from trading_graph.graph.offline_model.protocol import ModelAnswer

Fields = dict[str, Any]


class Wording(StrEnum):
    """A variant of a decision; the first part means what it says, the second means nothing."""

    TITLE_CASE = "Buy"
    """`"Buy"` for `"BUY"`."""
    SPACED = "** buy **"
    """Emphasis and blanks around the action."""
    EXTRA_FIELD = "extra field"
    """A field that the schema does not have."""
    PERCENT_TEXT = "66%"
    """`"66%"` for 0.66."""
    PERCENT_NUMBER = "66"
    """66 for 0.66."""
    CURRENCY = "$190.17"
    """Prices as text with a currency sign."""
    LIST_AS_TEXT = "list as JSON text"
    """A list as the JSON text of one."""
    LIST_AS_LINES = "list as one text"
    """A list as one text."""
    HOLD_WITHOUT_LEVELS = "null levels for a HOLD"
    """A HOLD whose entry, stop and target are null."""
    NO_EVIDENCE = "missing evidence"
    """The field `evidence` left out."""
    FENCED = "fenced JSON"
    """The JSON between fences in the text, with a sentence before and after."""
    BARE = "bare JSON"
    """The JSON alone as the text."""
    TOOL_CALL_TEXT = "<tool_call>"
    """A tool call in the text, as Hermes and Qwen templates write it."""
    PREFIXED_NAME = "functions.Name"
    """The function's name with the namespace of the model's template."""
    FOREIGN_TEXTS = "texts in German"
    """Every text in German, beside the action and the numbers as the schema has them."""

    PROSE_ONCE = "prose, then right"
    """Prose at first, and the right answer when asked again."""
    PROSE = "prose"
    """Nothing but prose, however often it is asked."""
    NONSENSE = "to the moon"
    """An action that is none."""
    UNDECIDED = "BUY or SELL"
    """Two actions at once."""
    NEGATED = "do not BUY"
    """A sentence that names an action, and means the contrary."""
    FOREIGN_ACTION_ONCE = "Kaufen, then right"
    """The action in German at first, and the right answer when asked again."""
    FOREIGN_ACTION = "Kaufen"
    """The action in German, however often it is asked."""
    NOT_A_NUMBER = "confidence: high"
    """A word for a number, which no reader can turn into one."""


GERMAN = "Der Kurs fällt nicht; „größer“ ist die Chance: 190,17 gegen 1.234,50."
"""A text in German, with its letters, its quotation marks and its decimal comma."""

PROSE_TEXT = "On balance I would rather wait and see how things turn out before I commit myself."


def word(
    answer: ModelAnswer, wordings: frozenset[Wording], schema: str, again: bool
) -> ModelAnswer:
    """The deciding agent's answer in these wordings; `again` when the request asks once more."""
    (call,) = answer.tool_calls
    fields: Fields = json.loads(call.arguments)
    for wording in Wording:
        if wording in wordings and wording in _FIELDS:
            _FIELDS[wording](fields)
    if Wording.FOREIGN_ACTION_ONCE in wordings and not again:
        fields["action"] = "Kaufen"
    text = json.dumps(fields)
    if Wording.PROSE in wordings or (Wording.PROSE_ONCE in wordings and not again):
        return ModelAnswer(PROSE_TEXT)
    if Wording.FENCED in wordings:
        return ModelAnswer(f"Here is my decision:\n\n```json\n{text}\n```\n\nGood luck.")
    if Wording.BARE in wordings:
        return ModelAnswer(text)
    if Wording.TOOL_CALL_TEXT in wordings:
        written = json.dumps({"name": schema, "arguments": fields})
        return ModelAnswer(f"<tool_call>\n{written}\n</tool_call>")
    prefix = "functions." if Wording.PREFIXED_NAME in wordings else ""
    return ModelAnswer(tool_calls=(replace(call, name=prefix + call.name, arguments=text),))


def _title_case(fields: Fields) -> None:
    fields["action"] = fields["action"].title()


def _spaced(fields: Fields) -> None:
    fields["action"] = f"** {fields['action'].lower()} ** "


def _extra_field(fields: Fields) -> None:
    fields["time_of_day"] = "after the close"


def _percent_text(fields: Fields) -> None:
    fields["confidence"] = f"{fields['confidence'] * 100:.0f}%"


def _percent_number(fields: Fields) -> None:
    fields["confidence"] = round(fields["confidence"] * 100)


def _prices(fields: Fields) -> list[str]:
    return [name for name in ("entry", "stop", "target") if name in fields]


def _currency(fields: Fields) -> None:
    for name in _prices(fields):
        fields[name] = f"${fields[name]:,.2f}"


def _lists(fields: Fields) -> list[str]:
    return [name for name, value in fields.items() if isinstance(value, list)]


def _list_as_text(fields: Fields) -> None:
    for name in _lists(fields):
        fields[name] = json.dumps(fields[name])


def _list_as_lines(fields: Fields) -> None:
    for name in _lists(fields):
        fields[name] = "; ".join(fields[name])


def _hold(fields: Fields) -> None:
    fields["action"] = "HOLD"
    for name in _prices(fields):
        fields[name] = None


def _no_evidence(fields: Fields) -> None:
    del fields["evidence"]


def _foreign_texts(fields: Fields) -> None:
    for name, value in fields.items():
        if isinstance(value, list):
            fields[name] = [GERMAN] * len(value)
        elif isinstance(value, str) and name != "action":
            fields[name] = GERMAN


def _action(value: str) -> Callable[[Fields], None]:
    def change(fields: Fields) -> None:
        fields["action"] = value

    return change


def _not_a_number(fields: Fields) -> None:
    fields["confidence"] = "rather high"


_FIELDS: Mapping[Wording, Callable[[Fields], None]] = {
    Wording.TITLE_CASE: _title_case,
    Wording.SPACED: _spaced,
    Wording.EXTRA_FIELD: _extra_field,
    Wording.PERCENT_TEXT: _percent_text,
    Wording.PERCENT_NUMBER: _percent_number,
    Wording.CURRENCY: _currency,
    Wording.LIST_AS_TEXT: _list_as_text,
    Wording.LIST_AS_LINES: _list_as_lines,
    Wording.HOLD_WITHOUT_LEVELS: _hold,
    Wording.NO_EVIDENCE: _no_evidence,
    Wording.FOREIGN_TEXTS: _foreign_texts,
    Wording.FOREIGN_ACTION: _action("Kaufen"),
    Wording.NONSENSE: _action("To the moon"),
    Wording.UNDECIDED: _action("BUY or SELL"),
    Wording.NEGATED: _action("do not buy"),
    Wording.NOT_A_NUMBER: _not_a_number,
}
