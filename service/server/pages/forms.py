"""Forms that make a request: what was typed becomes its values, or is shown with what is wrong.

A form's fields, their bounds and their defaults come from the schema of the request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from trading_graph.graph.errors import BadHoldingsError
from trading_graph.service.run.holdings_input import parse_cash, parse_positions
from trading_graph.service.server.inputs import fault_in_words, first

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Input:
    """What was typed, by field, and what is wrong by field; the empty name is the whole form."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of the request: its value or values, what is wrong, its choices and its bounds."""

    value: str | Sequence[str]
    error: str
    options: Sequence[str]
    bounds: Mapping[str, object]


class FormSchema(Generic[_T]):
    """The fields of a request as a form has them.

    `in_short` are fields with parts, which a form has as one text, and `left_out` those that it
    has not.
    """

    def __init__(
        self,
        request: TypeAdapter[_T],
        in_short: Mapping[str, Callable[[str], object]] | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        self._request = request
        self._in_short = {**_IN_SHORT, **(in_short or {})}
        properties = request.json_schema()["properties"]
        self._schemas: Mapping[str, Mapping[str, Any]] = {
            name: schema for name, schema in properties.items() if name not in left_out
        }
        self._plain = [name for name in self._schemas if name != "analysts"]

    def read(self, form: Mapping[str, Sequence[str]]) -> _T | Input:
        """The request that a form makes, or the form as it was typed with what is wrong.

        A field that is empty has its default.
        """
        values: dict[str, object] = {
            name: value for name in self._plain if (value := first(form, name))
        }
        # An analyst that is not chosen sends nothing, so the form says that it has the choice.
        if "chosen" in form:
            values["analysts"] = tuple(form.get("analysts", ()))
        errors: dict[str, str] = {}
        for name in self._in_short.keys() & values.keys():
            try:
                values[name] = self._in_short[name](str(values[name]))
            except BadHoldingsError as error:
                errors[name] = str(error)
                del values[name]
        try:
            request = self._request.validate_python(values)
        except ValidationError as error:
            errors |= {
                str(each["loc"][0]): _sentence(fault_in_words(each)) for each in error.errors()
            }
        return Input(form, errors) if errors else request

    def fields(self, typed: Input) -> Mapping[str, FormField]:
        """The fields as a page shows them: one that was not filled in has its default."""
        values = self._values(typed)
        return {name: self._field(name, value, typed.errors) for name, value in values.items()}

    def is_changed(self, typed: Input, but: Sequence[str]) -> bool:
        """Whether somebody changed a field, but for some."""
        values = self._values(typed)
        return any(values[name] != self._default(name) for name in self._schemas if name not in but)

    def _values(self, typed: Input) -> dict[str, str | Sequence[str]]:
        values: dict[str, str | Sequence[str]] = {
            name: first(typed.values, name) or self._default(name) for name in self._plain
        }
        values["analysts"] = self._default("analysts")
        if "chosen" in typed.values:
            values["analysts"] = list(typed.values.get("analysts", ()))
        return values

    def _default(self, name: str) -> str | Sequence[str]:
        if name in self._in_short:
            return ""
        match self._schemas[name].get("default"):
            case None | False:
                return ""
            case str(text):
                return text
            case list(several):
                return several
            case number:
                return f"{number:g}"

    def _field(self, name: str, value: str | Sequence[str], errors: Mapping[str, str]) -> FormField:
        if name in self._in_short:
            return FormField(value, errors.get(name, ""), (), {})
        schema = self._schemas[name]
        schema = schema.get("anyOf", [schema])[0]  # of a field that may be null, the other type
        bounds = {_BOUNDS[key]: bound for key, bound in schema.items() if key in _BOUNDS}
        if schema["type"] == "number":
            bounds["step"] = "any"
        options = schema.get("items", schema).get("enum", ())
        return FormField(value, errors.get(name, ""), options, bounds)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") + "."


_IN_SHORT: Mapping[str, Callable[[str], object]] = {
    "holdings": parse_positions,
    "cash": parse_cash,
}

_BOUNDS = {
    "minimum": "min",
    "exclusiveMinimum": "min",
    "maximum": "max",
    "minLength": "minlength",
    "maxLength": "maxlength",
}
"""The attributes of HTML that say what a schema says."""
