"""Forms: what a browser sends, read within limits, and the form that starts a run."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from aiohttp import web
from pydantic import ValidationError

from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.inputs import read_body
from trading_graph.service.server.problems import Problem

_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 50

ANALYSTS = ("market", "social", "news", "fundamentals")
_CHOICES = ("debate", "dispatch", "tools")
_NUMBERS = (
    "analyst_turns",
    "debate_rounds",
    "risk_rounds",
    "agent_budget",
    "max_seconds",
    "max_calls",
    "max_tokens",
)
_DEFAULTS = RunRequest(symbol="NVDA")


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
    """The request that a form makes, or the form as it was typed with what is wrong."""
    fields: dict[str, object] = {
        name: first(form, name) for name in ("symbol", *_CHOICES, *_NUMBERS) if name in form
    }
    fields = {name: value for name, value in fields.items() if value or name not in _NUMBERS}
    fields |= {"date": first(form, "date") or None, "prefetch": "prefetch" in form}
    # An analyst that is not chosen sends nothing, so the form says that it has the choice.
    if "chosen" in form:
        fields["analysts"] = tuple(form.get("analysts", ()))
    try:
        return RunRequest.model_validate(fields)
    except ValidationError as error:
        errors = {str(each["loc"][0]): _sentence(each["msg"]) for each in error.errors()}
        return Input(form, errors)


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") + "."


@dataclass(frozen=True, slots=True)
class StartForm:
    """The form that starts a run, with what was typed before; `changed` says that an option was.

    A form that is sent twice has one `key`, and starts one run.
    """

    values: Mapping[str, str]
    errors: Mapping[str, str]
    analysts: Sequence[str]
    prefetch: bool
    changed: bool
    default_date: str
    key: str


def start_form(fields: Input, default_date: str) -> StartForm:
    """The form as a page shows it: a field that was not filled in has its default."""
    form = fields.values
    defaults = {name: getattr(_DEFAULTS, name) for name in _CHOICES}
    for name in _NUMBERS:
        value = getattr(_DEFAULTS, name)
        defaults[name] = "" if value is None else f"{value:g}"
    analysts = tuple(form.get("analysts", ())) if "chosen" in form else ANALYSTS
    return StartForm(
        values={"symbol": first(form, "symbol"), "date": first(form, "date")}
        | {name: first(form, name) or value for name, value in defaults.items()},
        errors=fields.errors,
        analysts=analysts,
        prefetch="prefetch" in form,
        # Whoever corrects the form sees the options that were changed.
        changed="prefetch" in form
        or analysts != ANALYSTS
        or any(name in form and first(form, name) != defaults[name] for name in defaults),
        default_date=default_date,
        key=secrets.token_urlsafe(16),
    )
