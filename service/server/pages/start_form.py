"""The form that starts a run: its fields, what was typed into them, and what is wrong with it."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from trading_graph.otel.report.markup import Markup, element, joined
from trading_graph.service.run.request import RunRequest
from trading_graph.service.server.pages.forms import first

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
_PLAIN = RunRequest(symbol="NVDA")


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed, by field, and what is wrong by field; the empty name is the whole form."""

    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)


def read(form: Mapping[str, Sequence[str]]) -> RunRequest | Typed:
    """The request that a form makes, or the form as it was typed with what is wrong."""
    asked: dict[str, object] = {
        name: first(form, name) for name in ("symbol", *_CHOICES, *_NUMBERS) if name in form
    }
    asked = {name: said for name, said in asked.items() if said or name not in _NUMBERS}
    asked |= {"date": first(form, "date") or None, "prefetch": "prefetch" in form}
    # An analyst that is not chosen sends nothing, so the form says that it was asked.
    if "chosen" in form:
        asked["analysts"] = tuple(form.get("analysts", ()))
    try:
        return RunRequest.model_validate(asked)
    except ValidationError as error:
        found = {str(each["loc"][0]): _said(each["msg"]) for each in error.errors()}
        return Typed(form, found)


def _said(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".") + "."


def start_form(typed: Typed, default_date: str) -> Markup:
    """The form, with what was typed before and the errors beside it."""
    wrong = typed.errors.get("")
    return element(
        "form",
        *([element("p", wrong, class_="error", role="alert")] if wrong else []),
        element(
            "div",
            _text(typed, "symbol", "Symbol", "NVDA", required=True, maxlength=64),
            _text(typed, "date", "As of", default_date, maxlength=32),
            element("button", "Start the run", type="submit", class_="primary"),
            class_="main-fields",
        ),
        element(
            "details",
            element("summary", "Options"),
            _analysts(typed),
            element(
                "div",
                joined(_number(typed, name) for name in _NUMBERS),
                joined(_choice(typed, name) for name in _CHOICES),
                class_="options",
            ),
            _prefetch(typed),
            open=_is_unusual(typed),
        ),
        # Sent twice by a double click, it starts one run.
        element("input", type="hidden", name="key", value=secrets.token_urlsafe(16)),
        method="post",
        action="/runs",
        class_="start",
    )


def _is_unusual(typed: Typed) -> bool:
    """Whether an option was changed, so that whoever mends the form sees it."""
    plain = {name: _plain(name) for name in _NUMBERS}
    plain |= {name: getattr(_PLAIN, name) for name in _CHOICES}
    typed_in = typed.values
    return (
        any(name in typed_in and first(typed_in, name) != value for name, value in plain.items())
        or "prefetch" in typed_in
        or ("chosen" in typed_in and tuple(typed_in.get("analysts", ())) != ANALYSTS)
    )


def _plain(name: str) -> str:
    """What a number is where nothing is typed; nothing for a budget."""
    value = getattr(_PLAIN, name)
    return "" if value is None else f"{value:g}"


def _text(typed: Typed, name: str, label: str, example: str, **more: object) -> Markup:
    control = element(
        "input",
        id=name,
        name=name,
        value=first(typed.values, name),
        placeholder=example,
        autocomplete="off",
        autocapitalize="characters" if name == "symbol" else None,
        spellcheck="false",
        **_described(typed, name),
        **more,
    )
    note = f"YYYY-MM-DD, else {example}" if name == "date" else "a ticker"
    return _field(typed, name, label, control, note)


def _number(typed: Typed, name: str) -> Markup:
    label, least, most, note = _NUMBERS[name]
    value = first(typed.values, name) or _plain(name)
    control = element(
        "input",
        id=name,
        name=name,
        type="number",
        min=least,
        max=most,
        step="any" if name in ("agent_budget", "max_seconds") else None,
        value=value,
        **_described(typed, name),
    )
    return _field(typed, name, label, control, note)


def _choice(typed: Typed, name: str) -> Markup:
    label, choices, note = _CHOICES[name]
    chosen = first(typed.values, name) or getattr(_PLAIN, name)
    options = (element("option", each, value=each, selected=each == chosen) for each in choices)
    control = element("select", joined(options), id=name, name=name, **_described(typed, name))
    return _field(typed, name, label, control, note)


def _analysts(typed: Typed) -> Markup:
    chosen = typed.values.get("analysts", ()) if "chosen" in typed.values else ANALYSTS
    boxes = (_box("analysts", each, each.capitalize(), checked=each in chosen) for each in ANALYSTS)
    return element(
        "fieldset",
        element("legend", "Analysts"),
        joined(boxes),
        element("input", type="hidden", name="chosen", value="1"),
        *_wrong(typed, "analysts"),
    )


def _prefetch(typed: Typed) -> Markup:
    label = "Fetch what the analysts will ask for while they are in their first turn"
    return element("p", _box("prefetch", "1", label, checked="prefetch" in typed.values))


def _box(name: str, value: str, label: str, *, checked: bool) -> Markup:
    box = element("input", type="checkbox", name=name, value=value, checked=checked)
    return element("label", box, f" {label}", class_="box")


def _field(typed: Typed, name: str, label: str, control: Markup, note: str) -> Markup:
    return element(
        "div",
        element("label", label, for_=name),
        control,
        element("span", note, id=f"{name}-note", class_="hint"),
        *_wrong(typed, name),
        class_="field",
    )


def _wrong(typed: Typed, name: str) -> list[Markup]:
    said = typed.errors.get(name)
    return [element("p", said, id=f"{name}-error", class_="error", role="alert")] if said else []


def _described(typed: Typed, name: str) -> dict[str, object]:
    if name in typed.errors:
        return {"aria_describedby": f"{name}-note {name}-error", "aria_invalid": "true"}
    return {"aria_describedby": f"{name}-note"}
