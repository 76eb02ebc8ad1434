"""What a report stands on, and what a decision loses where reports stand on nothing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import ToolMessage

from trading_graph.graph.decisions import Action, DecidedBy, FinalDecision
from trading_graph.graph.evidence import evidence_of, gaps_of, notes_of, warnings_of, weigh
from trading_graph.graph.state import Evidence, Report
from trading_graph.graph.tool_calls import Outcome, ToolAnswer
from trading_graph.toolkit.as_of import AsOf

BUY = FinalDecision(
    action=Action.BUY,
    confidence=0.8,
    horizon_days=30,
    entry=100,
    stop=95,
    target=120,
    position_pct=4,
    rationale="Up.",
    evidence=["close 100 (get_prices)"],
    risks=["valuation"],
)
AGENTS = ("market_analyst", "social_analyst", "news_analyst", "fundamentals_analyst")

evidences = st.lists(st.sampled_from(list(Evidence)), min_size=4, max_size=4)


def answer(
    tool: str,
    outcome: Outcome = Outcome.DATA,
    *,
    about_symbol: bool = True,
    problem: str = "",
    warnings: tuple[str, ...] = (),
) -> ToolAnswer:
    message = ToolMessage("{}", tool_call_id="1", name=tool)
    return ToolAnswer(message, tool, outcome, about_symbol, problem, warnings)


def reports(*evidence: Evidence) -> list[Report]:
    return [Report(agent, "", evidence=each) for agent, each in zip(AGENTS, evidence, strict=False)]


@pytest.mark.parametrize(
    ("answers", "evidence"),
    [
        ([], Evidence.NONE),
        ([answer("get_prices"), answer("get_indicators", Outcome.FAILED)], Evidence.PRICES),
        ([answer("get_attention")], Evidence.PRICES),
        ([answer("get_attention"), answer("get_posts")], Evidence.BESIDE_PRICES),
        ([answer("get_ratios"), answer("get_cash_flow", Outcome.NOTHING)], Evidence.BESIDE_PRICES),
        ([answer("get_ratios", Outcome.NOTHING)], Evidence.NONE),
        ([answer("get_ratios", Outcome.NOT_APPLICABLE)], Evidence.NOT_APPLICABLE),
        # What might be there and is not is missing, whatever else cannot be there.
        (
            [answer("get_insiders", Outcome.NOT_APPLICABLE), answer("get_news", Outcome.FAILED)],
            Evidence.NONE,
        ),
        # The index and the economy tell nothing of the symbol.
        ([answer("get_prices", about_symbol=False)], Evidence.NONE),
        (
            [
                answer("get_macro", about_symbol=False),
                answer("get_insiders", Outcome.NOT_APPLICABLE),
            ],
            Evidence.NOT_APPLICABLE,
        ),
        ([answer("get_everything", Outcome.MISTAKE, about_symbol=False)], Evidence.NONE),
    ],
)
def test_a_report_stands_on_what_its_tools_told_of_the_symbol(
    answers: list[ToolAnswer], evidence: Evidence
) -> None:
    assert evidence_of(answers) is evidence


def test_the_warnings_of_tools_and_each_source_that_failed_are_named_once() -> None:
    bars = ("NVDA: Bars with no price, left out: 1 (2025-11-14).",)
    down = "fred answered 503: try again later."
    told = warnings_of(
        "news_analyst",
        "NVDA",
        [
            answer("get_prices", warnings=bars),
            answer("get_company_events", warnings=bars),
            answer("get_macro", Outcome.FAILED, about_symbol=False, problem=down),
            answer("get_insiders", Outcome.FAILED, problem=down),
            answer("get_news", Outcome.NOTHING, problem="no headlines: wait."),
        ],
    )
    assert told == [*bars, f"news_analyst: get_insiders, get_macro failed: {down}"]


def test_a_report_without_data_is_one_warning_with_the_reason_of_the_symbol() -> None:
    told = warnings_of(
        "market_analyst",
        "NVDA",
        [
            answer("get_prices", Outcome.FAILED, about_symbol=False, problem="no index."),
            answer("get_prices", Outcome.FAILED, problem="Yahoo is down."),
        ],
    )
    assert told == ["market_analyst: its report stands on no data of NVDA: Yahoo is down."]
    (unasked,) = warnings_of("news_analyst", "NVDA", [])
    assert "stands on no data of NVDA" in unasked
    assert warnings_of("news_analyst", "X", [answer("get_news", Outcome.NOT_APPLICABLE)]) == []


def test_old_figures_and_data_without_a_source_are_gaps_and_no_warnings() -> None:
    old = "The newest period in the source ended 318 days before 2025-11-14."
    given_answers = [replace(answer("get_cash_flow"), age=old), answer("get_ratios")]
    gaps = gaps_of("fundamentals_analyst", given_answers, ["get_posts"], AsOf.parse("2025-11-14"))
    assert gaps == [
        "fundamentals_analyst read no posts: no source of this run has any for 2025-11-14.",
        f"fundamentals_analyst has old figures from get_cash_flow. {old}",
    ]
    assert warnings_of("fundamentals_analyst", "TSLA", given_answers) == []


@given(evidence=evidences, stated=st.floats(0, 1))
def test_the_confidence_is_the_stated_one_times_the_share_of_reports_with_data(
    evidence: list[Evidence], stated: float
) -> None:
    hold = BUY.model_copy(update={"action": Action.HOLD, "confidence": stated})
    weighed = weigh(hold, DecidedBy.MODEL, reports(*evidence), "USD")
    could = sum(each is not Evidence.NOT_APPLICABLE for each in evidence)
    gaps = evidence.count(Evidence.NONE)
    basis = weighed.basis
    assert (basis.stated, basis.reports_with_data) == (stated, could - gaps)
    assert basis.reports_expected == could
    if gaps == 0:
        assert weighed.decision == hold
    else:
        share = (could - gaps) / could
        assert weighed.decision.confidence == pytest.approx(stated * share, abs=0.00501)
    assert weighed.decision.model_copy(update={"confidence": stated}) == hold


@given(evidence=evidences)
def test_a_buy_needs_a_report_beside_prices(evidence: list[Evidence]) -> None:
    weighed = weigh(BUY, DecidedBy.MODEL, reports(*evidence), "USD")
    final = weighed.decision
    if Evidence.BESIDE_PRICES in evidence:
        assert (final.action, weighed.decided_by) == (Action.BUY, DecidedBy.MODEL)
        assert weighed.reason is None
        return
    assert (final.action, weighed.decided_by) == (Action.HOLD, DecidedBy.RULE)
    assert (final.entry, final.stop, final.target, final.position_pct) == (None, None, None, None)
    assert final.risks == BUY.risks
    for text in (final.rationale, *notes_of("AAPL", reports(*evidence), [], weighed)[:1]):
        assert "BUY at 100.00 USD, stop 95.00 USD, target 120.00 USD, 4 % of the portfolio" in text
        assert "not handed out" in text


def test_a_missing_report_is_no_evidence() -> None:
    late = Report("news_analyst", "late", missing=True)
    weighed = weigh(BUY, DecidedBy.MODEL, [late], "USD")
    assert weighed.decided_by is DecidedBy.RULE
    assert weighed.basis.reports_with_data == 0


@pytest.mark.parametrize(
    ("symbol", "said"),
    [
        ("AAPL", None),
        ("VOW3.DE", "VOW3.DE is listed in Germany."),
        ("ABC.XYZ", "ABC.XYZ is listed elsewhere."),
        ("BTC-USD", None),
    ],
)
def test_the_economy_of_another_country_is_named(symbol: str, said: str | None) -> None:
    whole = [Report("news_analyst", "")]
    notes = notes_of(symbol, whole, [], weigh(BUY, DecidedBy.MODEL, whole, "EUR"))
    if said is None:
        assert notes == []
        return
    (note,) = notes
    assert note == f"The macro series are those of the United States, and {said}"


def test_another_source_that_stands_in_is_noted_once() -> None:
    whole = reports(Evidence.BESIDE_PRICES)
    weighed = weigh(BUY, DecidedBy.MODEL, whole, "USD")
    assert notes_of("AAPL", whole, ["SEC is down.", "SEC is down."], weighed) == ["SEC is down."]
