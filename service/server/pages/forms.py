"""Forms: what a browser sends, read within limits, and the form that starts a run."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs

from aiohttp import web
from pydantic import ValidationError

from trading_graph.service.run_request import RunRequest
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.reading import read_body

_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 50

ANALYSTS = ("market", "social", "news", "fundamentals")
_CHOICES = {
    "debate": ("Debate", ("parallel", "serial"), "both sides of a round at once, or in turn"),
    "dispatch": ("Dispatch", ("parallel", "sequential"), "sequential is slow on purpose"),
    "tools": ("Tool calls", ("parallel", "sequential"), "sequential is slow on purpose"),
}
_NUMBERS: Mapping[str, tuple[str, int, int | None, str]] = {
    "analyst_turns": ("Turns of an analyst", 2, 8, "LLM calls; the last has no tools"),
    "debate_rounds": ("Debate rounds", 1, 5, "of bull and bear"),
    "risk_rounds": ("Risk rounds", 1, 5, "of the risk team"),
    "agent_budget": ("Seconds of an agent", 1, 3600, "at most, with its retries"),
    "max_seconds": ("Seconds of the run", 1, None, "its budget; empty for none"),
    "max_calls": ("LLM calls of the run", 1, None, "its budget; empty for none"),
    "max_tokens": ("Tokens of the run", 1, None, "its budget; empty for none"),
}
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
class FormField:
    """A field of the form: its label, its value, a hint, and what is wrong with it."""

    name: str
    label: str
    note: str
    value: str
    error: str = ""
    least: int | None = None
    most: int | None = None
    any_step: bool = False
    options: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StartForm:
    """The form that starts a run; `changed` says that an option is not as it usually is.

    A form that is sent twice has one `key`, and starts one run.
    """

    error: str
    symbol: FormField
    date: FormField
    default_date: str
    analysts: Sequence[tuple[str, bool]]
    analysts_error: str
    numbers: Sequence[FormField]
    choices: Sequence[FormField]
    prefetch: bool
    changed: bool
    key: str


def start_form(typed: Input, default_date: str) -> StartForm:
    """The form with what was typed before, and the errors beside it."""
    values, errors = typed.values, typed.errors
    chosen = values.get("analysts", ()) if "chosen" in values else ANALYSTS

    def text(name: str, label: str, note: str) -> FormField:
        return FormField(name, label, note, first(values, name), errors.get(name, ""))

    return StartForm(
        error=errors.get("", ""),
        symbol=text("symbol", "Symbol", "a ticker"),
        date=text("date", "As of", f"YYYY-MM-DD, else {default_date}"),
        default_date=default_date,
        analysts=[(name, name in chosen) for name in ANALYSTS],
        analysts_error=errors.get("analysts", ""),
        numbers=[
            FormField(
                name,
                label,
                note,
                first(values, name) or _default(name),
                errors.get(name, ""),
                least=least,
                most=most,
                any_step=name in ("agent_budget", "max_seconds"),
            )
            for name, (label, least, most, note) in _NUMBERS.items()
        ],
        choices=[
            FormField(
                name,
                label,
                note,
                first(values, name) or getattr(_DEFAULTS, name),
                errors.get(name, ""),
                options=options,
            )
            for name, (label, options, note) in _CHOICES.items()
        ],
        prefetch="prefetch" in values,
        changed=_is_changed(values),
        key=secrets.token_urlsafe(16),
    )


def _is_changed(values: Mapping[str, Sequence[str]]) -> bool:
    """Whether an option was changed, so that whoever corrects the form sees it."""
    defaults = {name: _default(name) for name in _NUMBERS}
    defaults |= {name: getattr(_DEFAULTS, name) for name in _CHOICES}
    return (
        any(name in values and first(values, name) != value for name, value in defaults.items())
        or "prefetch" in values
        or ("chosen" in values and tuple(values.get("analysts", ())) != ANALYSTS)
    )


def _default(name: str) -> str:
    """What a number is where nothing is typed; nothing for a budget."""
    value = getattr(_DEFAULTS, name)
    return "" if value is None else f"{value:g}"
