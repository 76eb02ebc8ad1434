"""Forms: what a browser sends, read within limits, and the form that starts a run."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web
from pydantic import ValidationError

from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.documents import RUN_REQUEST
from trading_graph.service.server.inputs import read_body
from trading_graph.service.server.problems import Problem

_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 50


async def form_of(request: web.Request) -> Mapping[str, Sequence[str]]:
    """The fields of a form with all their values; raises Problem."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the form as a page's form is sent.")
    body = await read_body(request, _MOST_BYTES)
    try:
        return parse_qs(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The form cannot be read; load its page again."
        ) from None


def first(form: Mapping[str, Sequence[str]], name: str) -> str:
    """The first value of a field without spaces around it, empty where there is none."""
    values = form.get(name, ("",))
    return values[0].strip()


@dataclass(frozen=True, slots=True)
class Input:
    """What was typed, by field, and what is wrong by field; the empty name is the whole form."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


def read_request(form: Mapping[str, Sequence[str]]) -> RunRequest | Input:
    """The request that a form makes, or the form as it was typed with what is wrong.

    A field that is empty has its default.
    """
    values: dict[str, object] = {
        name: value for name in _PLAIN_FIELDS if (value := first(form, name))
    }
    # An analyst that is not chosen sends nothing, so the form says that it has the choice.
    if "chosen" in form:
        values["analysts"] = tuple(form.get("analysts", ()))
    try:
        return RUN_REQUEST.validate_python(values)
    except ValidationError as error:
        errors = {str(each["loc"][0]): _sentence(each["msg"]) for each in error.errors()}
        return Input(form, errors)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") + "."


_SCHEMAS: Mapping[str, Mapping[str, Any]] = RUN_REQUEST.json_schema()["properties"]
_PLAIN_FIELDS = [name for name in _SCHEMAS if name != "analysts"]
_BOUNDS = {
    "minimum": "min",
    "exclusiveMinimum": "min",
    "maximum": "max",
    "minLength": "minlength",
    "maxLength": "maxlength",
}
"""The attributes of HTML that say what a schema says."""


@dataclass(frozen=True, slots=True)
class FormField:
    """A field of the request: its value or values, what is wrong, its choices and its bounds."""

    value: str | Sequence[str]
    error: str
    options: Sequence[str]
    bounds: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class StartForm:
    """The form that starts a run, with what was typed before; `changed` says that an option was.

    A form that is sent twice has one `key`, and starts one run.
    """

    fields: Mapping[str, FormField]
    error: str
    changed: bool
    default_date: str
    key: str


def start_form(typed: Input, default_date: str) -> StartForm:
    """The form as a page shows it: a field that was not filled in has its default."""
    defaults = {name: _default(name) for name in _SCHEMAS}
    values = {name: first(typed.values, name) or defaults[name] for name in _PLAIN_FIELDS}
    values["analysts"] = defaults["analysts"]
    if "chosen" in typed.values:
        values["analysts"] = list(typed.values.get("analysts", ()))
    options = _SCHEMAS.keys() - {"symbol", "date"}
    return StartForm(
        fields={name: _field(name, value, typed.errors) for name, value in values.items()},
        error=typed.errors.get("", ""),
        # Whoever corrects the form sees the options that were changed.
        changed=any(values[name] != defaults[name] for name in options),
        default_date=default_date,
        key=secrets.token_urlsafe(16),
    )


def _default(name: str) -> str | Sequence[str]:
    match _SCHEMAS[name].get("default"):
        case None | False:
            return ""
        case str(text):
            return text
        case list(several):
            return several
        case number:
            return f"{number:g}"


def _field(name: str, value: str | Sequence[str], errors: Mapping[str, str]) -> FormField:
    schema = _SCHEMAS[name]
    schema = schema.get("anyOf", [schema])[0]  # of a field that may be null, the other type
    bounds = {_BOUNDS[key]: bound for key, bound in schema.items() if key in _BOUNDS}
    if schema["type"] == "number":
        bounds["step"] = "any"
    options = schema.get("items", schema).get("enum", ())
    return FormField(value, errors.get(name, ""), options, bounds)
