"""Reading decisions: every form that models write, and never a BUY that was not stated."""

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

from trading_graph.graph.chat.text_markup import without_thoughts
from trading_graph.graph.decision_parser import Reading, read_answer
from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal

PLAIN: Mapping[str, Any] = {
    "action": "BUY",
    "confidence": 0.66,
    "horizon_days": 30,
    "entry": 190.17,
    "stop": 180.5,
    "target": 210,
    "position_pct": 5,
    "rationale": "Growth of 62 % (get_income_statement).",
    "evidence": ["revenue 57.0 billion"],
    "risks": ["valuation"],
}
BUY = FinalDecision.model_validate(PLAIN)
HOLD = {
    **PLAIN,
    "action": "HOLD",
    **dict.fromkeys(("entry", "stop", "target", "horizon_days", "position_pct")),
}
TEXT = json.dumps(PLAIN)
SELL_TEXT = json.dumps({**PLAIN, "action": "SELL", "stop": 210, "target": 180.5})


def called(arguments: Mapping[str, Any] | str, name: str = "FinalDecision") -> AIMessage:
    """The message of a model that calls a function, as it comes out of the stream."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    chunk = tool_call_chunk(name=name, args=text, id="1", index=0)
    return AIMessageChunk(content="", tool_call_chunks=[chunk])


def read(message: AIMessage | str) -> Reading[FinalDecision]:
    message = AIMessage(message) if isinstance(message, str) else message
    return read_answer(message, FinalDecision)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "Buy"},
        {"action": " buy. "},
        {"action": "**BUY**"},
        {"action": "Strong Buy"},
        {"confidence": "66%"},
        {"confidence": "66 %"},
        {"confidence": 66},
        {"confidence": "0.66"},
        {"entry": "$190.17"},
        {"entry": "190.17 USD"},
        {"entry": "US$190.17"},
        {"entry": "190.17"},
        {"horizon_days": "30 days"},
        {"horizon_days": 30.0},
        {"position_pct": "5%"},
        {"position_pct": "5 % of the portfolio"},
        {"evidence": '["revenue 57.0 billion"]'},
        {"evidence": "revenue 57.0 billion"},
        {"evidence": "- revenue 57.0 billion\n"},
        {"risks": '["valuation"]'},
        {"rationale": ["Growth of 62 %", "(get_income_statement)."]},
        {"note": "an extra field", "sources": {"a": 1}},
        {"decision": "Buy"},
    ],
    ids=repr,
)
def test_the_same_decision_in_the_words_of_models(changes: Mapping[str, Any]) -> None:
    fields = {**PLAIN, **changes}
    for message in (
        called(fields),
        AIMessage("", tool_calls=[{"name": "FinalDecision", "args": fields, "id": "1"}]),
        json.dumps(fields),
    ):
        reading = read(message)
        assert reading.answer == BUY, reading.objection


def test_thousands_are_separated_by_commas() -> None:
    fields = {**PLAIN, "entry": "$1,234.50", "stop": "1,200", "target": "1,300.0"}
    answer = read(called(fields)).answer
    assert answer is not None
    assert (answer.entry, answer.stop, answer.target) == (1234.5, 1200, 1300)


def test_other_names_of_the_fields() -> None:
    names = {
        "entry": "entryPrice",
        "stop": "stop_loss",
        "target": "Take Profit",
        "action": "Action",
    }
    fields = {names.get(key, key): value for key, value in PLAIN.items()}
    assert read(called(fields)).answer == BUY


@pytest.mark.parametrize("left_out", ["evidence", None])
def test_lists_may_be_left_out(left_out: str | None) -> None:
    fields = {key: value for key, value in PLAIN.items() if key != "evidence"}
    answer = read(called({**fields, **({} if left_out else {"evidence": None})})).answer
    assert answer is not None
    assert answer.evidence == []


@pytest.mark.parametrize("nothing", [None, "N/A", "none", "", 0])
def test_a_hold_needs_no_levels(nothing: object) -> None:
    names = ("entry", "stop", "target", "horizon_days")
    answer = read(called({**HOLD, **dict.fromkeys(names, nothing)})).answer
    assert answer is not None
    assert answer.action is Action.HOLD
    assert [getattr(answer, name) for name in names] == [None] * 4
    without = {key: value for key, value in HOLD.items() if value is not None}
    assert read(called(without)).answer is not None


@pytest.mark.parametrize(
    ("action", "name"),
    [
        *itertools.product(("BUY", "SELL"), ("entry", "stop", "target", "horizon_days")),
        ("BUY", "position_pct"),
    ],
)
def test_a_trade_needs_all_levels(action: str, name: str) -> None:
    source = json.loads(TEXT if action == "BUY" else SELL_TEXT)
    for nothing in (None, "N/A"):
        reading = read(called({**source, name: nothing}))
        assert reading.answer is None
        assert name in (reading.objection or "")


@pytest.mark.parametrize("size", [None, 0, 5, "5 %"])
@pytest.mark.parametrize("action", ["SELL", "HOLD"])
def test_only_a_buy_opens_a_position_whatever_size_is_written(size: Any, action: str) -> None:
    levels = {} if action == "SELL" else {"stop": None, "target": None}
    given = {**json.loads(SELL_TEXT), "action": action, "position_pct": size, **levels}
    answer = read(called(given)).answer
    assert answer is not None
    assert answer.position_pct is None


@pytest.mark.parametrize(
    ("source", "part", "reading"),
    [
        (SELL_TEXT, "40 %", 40),
        (SELL_TEXT, None, None),
        (TEXT, 0, None),
        (TEXT, 40, None),
        (json.dumps(HOLD), 0, None),
    ],
)
def test_the_part_to_sell_is_of_a_sell_only(source: str, part: Any, reading: float | None) -> None:
    answer = read(called({**json.loads(source), "sell_pct": part})).answer
    assert answer is not None
    assert answer.sell_pct == reading
    without = read(called(source)).answer
    assert without is not None
    assert without.sell_pct is None


def test_a_sell_of_nothing_is_refused() -> None:
    reading = read(called({**json.loads(SELL_TEXT), "sell_pct": 0}))
    assert reading.answer is None
    assert "is a HOLD" in (reading.objection or "")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}```",
        f"Here is my decision:\n\n```json\n{TEXT}\n```\n\nI stay confident.",
        f"<think>HOLD? {SELL_TEXT}</think>\n{TEXT}",
        f"or SELL {{</think>{TEXT}",
        f'<tool_call>\n{{"name": "FinalDecision", "arguments": {TEXT}}}\n</tool_call>',
        f'<tool_call>{{"name": "FinalDecision", "parameters": {TEXT}}}</tool_call>',
        f"<function=FinalDecision>{TEXT}</function>",
        f'[TOOL_CALLS][{{"name": "FinalDecision", "arguments": {TEXT}}}]',
        json.dumps({"name": "functions.FinalDecision", "arguments": TEXT}),
        json.dumps({"type": "function", "function": {"name": "FinalDecision", "arguments": TEXT}}),
        json.dumps({"FinalDecision": PLAIN}),
        json.dumps({"final_decision": PLAIN}),
        json.dumps([PLAIN]),
        f"{TEXT}\n\n{TEXT}",
        f"{{}}{TEXT}",
        f"{'The threshold of {symbol} held. ' * 9000}{TEXT}",
        TEXT.replace("Growth of", "Growth\nof").replace("Growth\nof", "Growth of"),
    ],
)
def test_an_answer_as_text(text: str) -> None:
    reading = read(text)
    assert reading.answer == BUY, reading.objection


def test_a_call_before_whose_arguments_an_empty_object_came() -> None:
    assert read(called("{}" + TEXT)).answer == BUY


REFUSED = {
    "prose": "My decision is to BUY at 190.17 with a stop at 180.5.",
    "empty": "",
    "a list": '["BUY"]',
    "an echo of the schema": json.dumps(FinalDecision.model_json_schema()),
    "two answers": f"{TEXT}\n{SELL_TEXT}",
    "two answers that differ in a price": TEXT + json.dumps({**PLAIN, "target": 230}),
    "a draft and an answer": f"{json.dumps({'action': 'HOLD'})}{TEXT}",
    "a rejected alternative": json.dumps({"rejected": PLAIN}),
    "alternatives": json.dumps({"bold": PLAIN, "careful": HOLD}),
    "an alternative in what breaks off": f'{{"rejected": {TEXT}, "action": "SE',
    "an alternative in what begins too late": f'"rejected": {TEXT}, "action": "SELL"}}',
    "an alternative in Python's form": f"{{'rejected': {TEXT}, 'action': 'SELL'}}",
    "an alternative without quotes": f"{{rejected: {TEXT}, action: 1}}",
    "taken back before": f"I would not do this:\n\n```json\n{TEXT}\n```",
    "taken back after": f"{TEXT}\n\nThis is only an example; wait for my answer.",
    "contradicted after": f"{TEXT}\n\nOn second thought: HOLD.",
    "contradicted by a headline": f"**Decision: HOLD**\n\nLong text.\n\nJSON:\n\n{TEXT}",
    "contradicted by a headline far above": f"Decision: HOLD\n\n{'It rose. ' * 9000}\n\n{TEXT}",
    "denied far above": f"I do not buy. {'It rose. ' * 9000}\n\n{TEXT}",
    "taken back in a long paragraph": f"{'It rose. ' * 9000} An example: {TEXT}",
    "quoted material": f"<proposal>{TEXT}</proposal>",
    "quoted material in words": f"The trader's proposal was\n{TEXT}\nIt is bold.",
    "only thought": f"<think>{TEXT}</think>",
    "still thinking": f"<think>{TEXT}",
    "another function": json.dumps({"name": "TradeProposal", "arguments": PLAIN}),
    "a proposal": json.dumps({key: value for key, value in PLAIN.items() if key != "risks"}),
    "twice, differently": TEXT.replace('"BUY"', '"SELL", "action": "BUY"'),
    "a price twice": TEXT.replace('"entry": 190.17', '"entry": 190.17, "entry": 19'),
    "another name says otherwise": json.dumps({**PLAIN, "recommendation": "SELL"}),
    "another case says otherwise": json.dumps({**PLAIN, "Action": "HOLD"}),
    "breaks off": TEXT[:-20],
    "deep": '{"a":' * 100_000,
    "many braces": "{" * 100_000,
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_clear_answer_is_refused(text: str) -> None:
    reading = read(text)
    assert reading.answer is None
    assert reading.objection
    assert "\n" not in reading.objection


@pytest.mark.parametrize(
    "action",
    [
        "BUY or HOLD",
        "BUY/SELL",
        "don't buy",
        "NOT BUY",
        "BUY, HOLD or SELL",
        "buy on dips",
        "no BUY",
        "SELL -> BUY",
        "",
        None,
        True,
        1,
        ["BUY"],
        {"value": "BUY"},
    ],
    ids=repr,
)
def test_what_is_no_action_is_refused(action: object) -> None:
    assert read(called({**PLAIN, "action": action})).answer is None
    assert read(json.dumps({**PLAIN, "action": action})).answer is None


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": 8},
        {"confidence": 1.5},
        {"confidence": -0.5},
        {"confidence": 101},
        {"confidence": "high"},
        {"confidence": True},
        {"confidence": None},
        {"entry": "190-195"},
        {"entry": "about 190"},
        {"entry": "190,17"},
        {"entry": "1.901,70"},
        {"entry": [190.17]},
        {"entry": True},
        {"entry": -190.17},
        {"entry": "NaN"},
        {"entry": 10**400},
        {"entry": 300},
        {"stop": 200, "target": 180},
        {"horizon_days": "2-4 weeks"},
        {"horizon_days": 400},
        {"horizon_days": 1.5},
        {"position_pct": 120},
        {"position_pct": "five"},
        {"rationale": ""},
        {"evidence": '["broken'},
    ],
    ids=repr,
)
def test_a_value_that_can_mean_two_things_or_nothing_is_refused(
    changes: Mapping[str, Any],
) -> None:
    reading = read(called({**PLAIN, **changes}))
    assert reading.answer is None
    assert reading.objection


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize("name", ["entry", "confidence", "position_pct"])
def test_what_is_no_number_of_json_is_no_number(name: str, number: str) -> None:
    assert read(called(TEXT.replace(json.dumps(PLAIN[name]), number))).answer is None


def test_arguments_that_break_off_are_not_completed() -> None:
    """LangChain makes an object of them, whose last number may have lost its last digits."""
    message = called(TEXT[: TEXT.index('"rationale"')].rstrip(", "))
    assert message.tool_calls[0]["args"]["position_pct"] == 5
    assert read(message).answer is None


def test_a_call_and_a_text_that_contradict_each_other_are_refused() -> None:
    for text in (
        SELL_TEXT,
        "Decision: HOLD",
        "FINAL TRANSACTION PROPOSAL: **SELL**",
        "I recommend to hold.",
        "I would not buy here.\n\nThe risk is too high.",
        "Don't buy.",
    ):
        message = called(PLAIN)
        message.content = text
        assert read(message).answer is None
    message.content = "I weighed {everything} and did not hesitate."
    assert read(message).answer == BUY


def test_two_calls_that_contradict_each_other_are_refused() -> None:
    def calls(*texts: str) -> AIMessageChunk:
        chunks = [
            tool_call_chunk(name="FinalDecision", args=text, id=str(number), index=number)
            for number, text in enumerate(texts)
        ]
        return AIMessageChunk(content="", tool_call_chunks=chunks)

    assert read(calls(TEXT, SELL_TEXT)).answer is None
    assert read(calls(TEXT, json.dumps({"action": "HOLD"}))).answer is None
    assert read(calls(TEXT, TEXT)).answer == BUY


def test_other_schemas_are_read_alike() -> None:
    plan = {"action": "sell", "confidence": "70%", "summary": "The bear.", "bull_points": None}
    ruling = read_answer(AIMessage(json.dumps(plan)), ResearchPlan).answer
    assert ruling is not None
    assert (ruling.action, ruling.confidence) == (Action.SELL, 0.7)
    assert read_answer(called(PLAIN, "TradeProposal"), TradeProposal).answer is not None


scalars = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-300, 300)
    | st.text(max_size=8)
    | st.sampled_from(["Buy", "SELL", "HOLD", "BUY or SELL", "not BUY", "66%", "$190.17", "1,200"])
)
values = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars)
changes = st.dictionaries(st.sampled_from([*PLAIN, "decision", "x"]), values, max_size=4)


@given(st.sampled_from([PLAIN, HOLD, {}]), changes)
def test_any_json_is_a_decision_that_it_states_or_a_refusal(
    plain: Mapping[str, Any], spoiled: dict[str, Any]
) -> None:
    """Whatever comes back is what the object says, in each of its prices."""
    fields = {**plain, **spoiled}
    for message in (called(fields), json.dumps(fields)):
        reading = read(message)
        assert (reading.answer is None) == bool(reading.objection)
        if reading.answer is None:
            continue
        answer = reading.answer
        named = fields.get("action", fields.get("decision"))
        assert str(named).strip().upper() == answer.action
        for name in ("entry", "stop", "target", "position_pct"):
            number = getattr(answer, name)
            if number is not None:
                assert number == float(str(fields[name]).replace(",", "").strip("$%"))


PIECES = [
    *(TEXT, SELL_TEXT, TEXT[:90], TEXT[90:], '{"action": "BUY"}'),
    *("{", "}", "[", "]", '"', ",", "```json", "not", "HOLD"),
    *("<think>", "</think>", "<tool_call>", "</tool_call>"),
]


@given(st.lists(st.text(max_size=30) | st.sampled_from(PIECES), max_size=6))
def test_any_text_is_read_or_refused_and_a_buy_is_whole_in_it(pieces: list[str]) -> None:
    text = "".join(pieces)
    reading = read(text)
    assert (reading.answer is None) == bool(reading.objection)
    if reading.answer is not None and reading.answer.action is Action.BUY:
        assert reading.answer == BUY
        assert TEXT in text
        after = without_thoughts(text)
        assert SELL_TEXT not in after
        assert not re.search(r"\bHOLD\b", after[after.rindex(TEXT) + len(TEXT) :])
