"""The later agents: structured answers that always fit, and rules that look the right way round."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.decisions import Action, FinalDecision, ResearchPlan, TradeProposal
from trading_graph.graph.offline_model import rules
from trading_graph.graph.offline_model.conversation import BadConversationError, Conversation
from trading_graph.graph.offline_model.deciders import judge, propose, rule_on_the_debate
from trading_graph.graph.offline_model.discussions import argue, assess
from trading_graph.graph.options import ANALYSTS, RISK_ANALYSTS

scores = st.one_of(st.none(), st.floats(-1, 1).map(lambda x: round(x, 2)))
score_sets = st.fixed_dictionaries(dict.fromkeys(ANALYSTS, scores))
convictions = st.one_of(st.none(), st.floats(0, 1))
closes = st.one_of(st.floats(0.01, 1e6).map(lambda x: round(x, 4)), st.floats(1e-6, 0.01))
atr_shares = st.one_of(st.none(), st.floats(0, 2))
actions = st.sampled_from(list(Action))


def talk(agent: str, *blocks: str) -> Conversation:
    """A conversation with these blocks in its prompt."""
    return Conversation(agent, "AAPL", "2025-11-14", (), (), "\n\n".join(blocks))


def report(agent: str, score: float | None) -> str:
    """A report block with a finding of each sign, or a missing one."""
    if score is None:
        return f'<report agent="{agent}" missing="true">{agent} ran out of time.</report>'
    text = f"- [+] Good at {agent} (get_prices)\n- [-] Bad at {agent} (get_prices)"
    return f'<report agent="{agent}">{text}\n\nScore: {score:+.2f}</report>'


def statement(agent: str, text: str) -> str:
    """A statement block of the first round."""
    return f'<statement agent="{agent}" round="1">{text}</statement>'


def price_levels(close: float, atr: float | None) -> str:
    """A price-levels block."""
    levels = {"session": "2025-11-14", "close": close, "low_20": close, "high_20": close}
    return f"<price_levels>{json.dumps(levels | {'atr_14': atr})}</price_levels>"


def plan(**scores: float | None) -> ResearchPlan:
    """The research plan on reports with these scores."""
    reports = [report(agent, score) for agent, score in scores.items()]
    return rule_on_the_debate(talk("research_manager", *reports))


def proposal(action: Action, confidence: float, close: float, atr: float | None) -> TradeProposal:
    """The trader's proposal on a plan with this action and confidence."""
    ruled = ResearchPlan(
        action=action,
        confidence=confidence,
        summary="A summary.",
        bull_points=[],
        bear_points=[],
        evidence=["a figure (get_prices)"],
    )
    block = f"<plan>{ruled.model_dump_json()}</plan>"
    return propose(talk("trader", block, price_levels(close, atr)))


@given(score_sets, convictions, convictions)
def test_a_plan_always_fits_its_schema(
    given_scores: dict[str, float | None], bull: float | None, bear: float | None
) -> None:
    """Whatever reports and convictions there are, the plan is valid and names what is missing."""
    blocks = [report(agent, score) for agent, score in given_scores.items()]
    for side, conviction in (("bull_researcher", bull), ("bear_researcher", bear)):
        if conviction is not None:
            blocks.append(statement(side, f"- a point\n\nConviction: {conviction:.2f}"))
    ruled = rule_on_the_debate(talk("research_manager", *blocks))
    assert ResearchPlan.model_validate_json(ruled.model_dump_json()) == ruled
    missing = [agent for agent, score in given_scores.items() if score is None]
    assert all(f"The report of {agent} is missing" in ruled.summary for agent in missing)


@given(actions, st.floats(0, 1), closes, atr_shares)
def test_a_proposal_always_fits_schema_and_market(
    action: Action, confidence: float, close: float, share: float | None
) -> None:
    """Entry at the close, stop and target on their sides and within 6 ATR, for any volatility."""
    atr = None if share is None else share * close
    trade = proposal(action, confidence, close, atr)
    assert TradeProposal.model_validate_json(trade.model_dump_json()) == trade
    assert trade.entry == close
    assert (trade.position_pct is None) == (action is not Action.BUY)
    assert 0 <= (trade.position_pct or 0) <= rules.POSITION_CAP_PCT
    if atr is not None and atr >= rules.LEAST_ATR_SHARE * close:
        for price in (trade.stop, trade.target):
            assert price is not None
            assert abs(price - close) <= 6 * atr


@given(actions, st.floats(0, 1), closes, atr_shares, st.integers(0, 3))
def test_a_decision_always_fits_and_never_grows(
    action: Action, confidence: float, close: float, share: float | None, missing: int
) -> None:
    """The judge keeps to the schema, and objections only ever make the position smaller."""
    atr = None if share is None else share * close
    trade = proposal(action, confidence, close, atr)
    shared = [
        f"<proposal>{trade.model_dump_json()}</proposal>",
        price_levels(close, atr),
        *(report(agent, None) for agent in ANALYSTS[:missing]),
    ]
    opinions = [statement(agent, assess(talk(agent, *shared))) for agent in RISK_ANALYSTS]
    decision = judge(talk("risk_judge", *shared, *opinions))
    assert FinalDecision.model_validate_json(decision.model_dump_json()) == decision
    assert (decision.position_pct or 0) <= (trade.position_pct or 0)
    assert (decision.position_pct is None) == (decision.action is not Action.BUY)
    assert all(any(agent in risk for risk in decision.risks) for agent in ANALYSTS[:missing])


@given(score_sets, st.sampled_from(ANALYSTS), st.floats(0, 1))
def test_a_better_report_never_makes_the_plan_more_bearish(
    given_scores: dict[str, float | None], agent: str, better: float
) -> None:
    """SELL, HOLD, BUY in this order as a score rises."""
    order = [Action.SELL, Action.HOLD, Action.BUY]
    low = {**given_scores, agent: -better}
    high = {**given_scores, agent: better}
    assert order.index(plan(**low).action) <= order.index(plan(**high).action)


def test_the_plan_follows_its_thresholds() -> None:
    """BUY and SELL begin at the published scores, and between them it is HOLD."""
    at = {score: plan(market_analyst=score).action for score in (0.15, 0.14, -0.14, -0.15)}
    assert list(at.values()) == [Action.BUY, Action.HOLD, Action.HOLD, Action.SELL]


def test_agreement_raises_and_missing_reports_lower_the_confidence() -> None:
    """The same mean score is trusted more when all agree, and less when a report is missing."""
    agreed = plan(market_analyst=0.4, fundamentals_analyst=0.4)
    split = plan(market_analyst=1.0, fundamentals_analyst=-0.2)
    absent = plan(market_analyst=0.4, fundamentals_analyst=0.4, news_analyst=None)
    assert split.confidence < agreed.confidence
    assert absent.confidence < agreed.confidence


def test_no_report_at_all_is_a_hold_without_much_trust() -> None:
    """With nothing to go by the manager neither buys nor sells, and says how little it knows."""
    nothing = plan(**dict.fromkeys(ANALYSTS))
    assert nothing.action is Action.HOLD
    assert nothing.confidence == rules.CONFIDENCE_LOW


def test_a_volatile_stock_gets_a_smaller_position() -> None:
    """The same risk budget buys less of what moves more."""
    calm = proposal(Action.BUY, 0.6, 100.0, 2.0)
    wild = proposal(Action.BUY, 0.6, 100.0, 6.0)
    assert (wild.position_pct or 0) < (calm.position_pct or 0)
    assert (wild.stop or 0) < (calm.stop or 0)


def test_only_an_objection_of_two_members_stands() -> None:
    """One voice is heard and does not count; two shrink the position and are listed."""
    trade = proposal(Action.BUY, 0.6, 100.0, 2.0)
    shared = [f"<proposal>{trade.model_dump_json()}</proposal>", price_levels(100.0, 2.0)]
    objection = "- Objection (wide stop): too wide."
    alone = judge(talk("risk_judge", *shared, statement(RISK_ANALYSTS[0], objection)))
    both = [statement(agent, objection) for agent in RISK_ANALYSTS[:2]]
    together = judge(talk("risk_judge", *shared, *both))
    assert alone.risks == []
    assert alone.position_pct == trade.position_pct
    assert together.risks == ["Wide stop, voiced by 2 of the risk team: too wide."]
    assert trade.position_pct is not None
    assert together.position_pct == pytest.approx(0.8 * trade.position_pct, abs=0.01)


def test_too_many_standing_objections_make_a_hold() -> None:
    """The judge does not trade against a risk team that objects to everything."""
    trade = proposal(Action.SELL, 0.6, 100.0, 2.0)
    codes = ("wide stop", "thin reward", "large position", "volatile price")
    text = "\n".join(f"- Objection ({code}): beyond the limit." for code in codes)
    decision = judge(
        talk(
            "risk_judge",
            f"<proposal>{trade.model_dump_json()}</proposal>",
            price_levels(100.0, 2.0),
            *(statement(agent, text) for agent in RISK_ANALYSTS),
        )
    )
    assert decision.action is Action.HOLD
    assert decision.stop is not None
    assert decision.entry is not None
    assert decision.target is not None
    assert decision.stop < decision.entry < decision.target


def test_a_cautious_member_objects_before_a_bold_one() -> None:
    """On one proposal the conservative analyst has at least the objections of the others."""
    trade = proposal(Action.BUY, 0.5, 100.0, 3.5)
    shared = [f"<proposal>{trade.model_dump_json()}</proposal>", price_levels(100.0, 3.5)]
    statements = {agent: assess(talk(agent, *shared)) for agent in RISK_ANALYSTS}
    counts = [statements[agent].count("- Objection (") for agent in RISK_ANALYSTS]
    assert counts == sorted(counts)
    assert counts[0] == 0 < counts[-1]
    assert all(text.splitlines()[-1].startswith("Stance: ") for text in statements.values())


def test_a_refused_answer_is_given_again_and_says_why() -> None:
    """The second answer names the problem that it corrects."""
    problem = "<problem>the entry 408.6 lies outside 245 &lt; entry &lt; 290.</problem>"
    ruled = rule_on_the_debate(talk("research_manager", report("market_analyst", 0.4), problem))
    assert "This corrects the first answer: the entry 408.6 lies outside 245 < entry < 290." in (
        ruled.summary
    )


def test_a_debater_quotes_its_side_and_answers_the_other() -> None:
    """Own findings are bullets, the opponent's first point is named, conviction follows score."""
    reports = [report("market_analyst", 0.5), report("news_analyst", None)]
    bear = argue(talk("bear_researcher", *reports))
    bull = argue(talk("bull_researcher", *reports, statement("bear_researcher", bear)))
    assert "- market_analyst: Good at market_analyst (get_prices)" in bull
    assert "The bear leads with: market_analyst: Bad at market_analyst (get_prices)" in bull
    assert "The report of news_analyst is missing: news_analyst ran out of time." in bull
    assert bull.splitlines()[-1] == "Conviction: 0.70"
    assert bear.splitlines()[-1] == "Conviction: 0.20"


def test_escaped_reports_are_read_as_they_were_written() -> None:
    """The prompts escape text, so that nothing in it ends a block; the reader undoes that."""
    text = "- [+] Margin &gt; 20 % &amp; rising (get_ratios)\nScore: +0.30"
    block = f'<report agent="market_analyst">{text}</report>'
    assert rule_on_the_debate(talk("research_manager", block)).bull_points == [
        "market_analyst: Margin > 20 % & rising (get_ratios)"
    ]


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        ([], "no <plan> block"),
        (["<plan>{}</plan>"], "is no ResearchPlan"),
        (["<plan>not json</plan>"], "is no ResearchPlan"),
    ],
)
def test_a_trader_without_a_plan_complains(blocks: list[str], complaint: str) -> None:
    """What an agent cannot do without is asked for in one sentence."""
    with pytest.raises(BadConversationError, match=complaint):
        propose(talk("trader", *blocks, price_levels(100.0, 2.0)))


@pytest.mark.parametrize(
    "levels", [{"close": 0}, {"close": "high"}, {"close": None}, {}, [], {"close": 1e300}]
)
def test_impossible_price_levels_are_refused(levels: Any) -> None:
    """Nothing is traded at a price that is none."""
    good = proposal(Action.BUY, 0.6, 100.0, 2.0).model_dump_json()
    block = f"<price_levels>{json.dumps(levels)}</price_levels>"
    with pytest.raises(BadConversationError, match="price_levels"):
        judge(talk("risk_judge", f"<proposal>{good}</proposal>", block))


def with_holding(action: Action, confidence: float, quantity: float) -> TradeProposal:
    """The trader's proposal where this quantity is held."""
    ruled = ResearchPlan(
        action=action,
        confidence=confidence,
        summary="A summary.",
        bull_points=[],
        bear_points=[],
        evidence=[],
    )
    holding = json.dumps({"quantity": quantity, "cash": None, "unknown": ["No cash."]})
    blocks = (f"<plan>{ruled.model_dump_json()}</plan>", f"<holding>{holding}</holding>")
    return propose(talk("trader", *blocks, price_levels(100.0, 2.0)))


@pytest.mark.parametrize(
    ("action", "confidence", "quantity", "part", "says"),
    [
        (Action.SELL, rules.SELL_ALL_FROM, 10, 100, "Of what is held, all is sold."),
        (Action.SELL, 0.49, 10, rules.SELL_PART_PCT, "Of what is held, 50 % is sold."),
        (Action.SELL, 0.9, 0, None, "Nothing is held, so nothing is sold, and no short sale"),
        (Action.HOLD, 0.9, 10, None, "What is held stays."),
        (Action.HOLD, 0.9, 0, None, "Nothing is held, and it stays so."),
        (Action.BUY, 0.9, 10, None, "What is held is part of that position."),
    ],
)
def test_the_rules_sell_what_is_held_and_nothing_else(
    action: Action, confidence: float, quantity: float, part: float | None, says: str
) -> None:
    trade = with_holding(action, confidence, quantity)
    assert trade.sell_pct == part
    assert (trade.position_pct is None) == (action is not Action.BUY)
    assert says in trade.rationale
    shared = [
        f"<proposal>{trade.model_dump_json()}</proposal>",
        price_levels(100.0, 2.0),
        f'<holding>{{"quantity": {quantity}}}</holding>',
    ]
    opinions = {agent: assess(talk(agent, *shared)) for agent in RISK_ANALYSTS}
    if action is not Action.BUY:
        assert not any("larger" in text for text in opinions.values())
        assert not any("% of the portfolio" in text for text in opinions.values())
    decision = judge(talk("risk_judge", *shared))
    assert decision.sell_pct == part
    assert says in decision.rationale


def test_a_holding_that_cannot_be_read_is_refused() -> None:
    good = proposal(Action.BUY, 0.6, 100.0, 2.0).model_dump_json()
    blocks = (f"<proposal>{good}</proposal>", price_levels(100.0, 2.0), "<holding>{}</holding>")
    with pytest.raises(BadConversationError, match="holding"):
        judge(talk("risk_judge", *blocks))
