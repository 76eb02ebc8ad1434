"""Runs with holdings: what becomes of them, and that nobody else learns how much is held."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.analysis_runner import Runner
from tests.e2e.test_langsmith import clear_langsmiths_cache
from tests.langsmith_server import LangSmithServer
from tests.otlp_receiver import OtlpReceiver
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.decisions import Action
from trading_graph.graph.holdings import Cash, Holding, Holdings, SizeLimit
from trading_graph.graph.offline_model import OfflineModel
from trading_graph.graph.options import DECIDERS, RISK_ANALYSTS
from trading_graph.graph.sizing import OrderAction
from trading_graph.otel.sources import read
from trading_graph.otel.trace import semconv
from trading_graph.service.cli import main
from trading_graph.service.run.report import report
from trading_graph.toolkit.loopback import LoopbackServer

QUICK = BackendChoice(chat_latency_s=0.01, fetch_latency_s=0.01)
AAPL_CLOSE, MSFT_CLOSE = 272.41, 510.18


async def test_a_buy_is_sized_by_the_whole_portfolio_and_by_the_cash(run_analysis: Runner) -> None:
    held = [Holding("AAPL", 3, 200), Holding("MSFT", 7, 400)]
    ran = await run_analysis(choice=QUICK, holdings=Holdings.of(held, Cash(500, "USD")))
    decision = ran.made.decision
    final, order = decision.decision, decision.order
    assert final.action is Action.BUY
    assert final.position_pct
    assert order is not None
    worth = 3 * AAPL_CLOSE + 7 * MSFT_CLOSE + 500
    assert order.portfolio_value == pytest.approx(worth)
    # The decision wants less than is held already.
    assert worth * final.position_pct / 100 < 3 * AAPL_CLOSE
    assert (order.action, order.quantity, order.cash_after) == (OrderAction.KEEP, 0, 500)
    assert order.gain == pytest.approx(3 * (AAPL_CLOSE - 200))
    assert order.limits == (SizeLimit.HELD,)
    assert "Keep the 3 AAPL that are held." in order.words
    assert not decision.degraded, decision.warnings

    rich = await run_analysis(choice=QUICK, holdings=Holdings.of([], Cash(100_000, "USD")))
    order = rich.made.decision.order
    assert order is not None
    assert order.quantity == 100_000 * final.position_pct / 100 // AAPL_CLOSE
    assert order.cash_after == pytest.approx(100_000 - order.quantity * AAPL_CLOSE)


async def test_a_sell_sells_what_is_held_and_without_holdings_nothing(
    run_analysis: Runner,
) -> None:
    held = Holdings.of([Holding("TSLA", 10, 500, "USD")])
    ran = await run_analysis(symbol="TSLA", choice=QUICK, holdings=held)
    decision = ran.made.decision
    assert decision.decision.action is Action.SELL
    order = decision.order
    assert order is not None
    assert (order.action, order.quantity, order.quantity_after) == (OrderAction.SELL_ALL, 10, 0)
    assert order.gain is not None
    assert order.gain < 0
    assert "a loss of" in order.words
    assert order.cash_after is None, "nobody said how much cash there is"

    nobody_ran = await run_analysis(symbol="TSLA", choice=QUICK)
    nobody = nobody_ran.made.decision
    assert nobody.decision.action is Action.SELL
    assert nobody.decision.position_pct is None
    assert nobody.order is None
    assert any("never a short sale" in note for note in nobody.notes)
    text = await asyncio.to_thread(report, nobody_ran.made)
    assert "No short sale: sell what is held, or do not hold it." in text.split("## ")[0]


async def test_a_holding_that_cannot_be_valued_leaves_no_size_and_is_named(
    run_analysis: Runner,
) -> None:
    held = Holdings.of([Holding("ZZZZ", 10, 5)], Cash(100_000, "USD"))
    decision = (await run_analysis(choice=QUICK, holdings=held)).made.decision
    assert decision.decision.action is Action.BUY
    assert decision.order is not None
    assert decision.order.quantity is None
    assert decision.order.limits == (SizeLimit.NO_PRICE,)
    assert "What ZZZZ is worth is not known" in decision.order.words
    assert decision.degraded
    assert any(each.startswith("trader: What ZZZZ") for each in decision.warnings)


QUANTITY, PAID, CASH = "31313.75", "111.7753", "474747.47"
FIGURES = (QUANTITY, "31,313.75", PAID, CASH, "474,747.47")


def run_with_figures(workdir: Path, capture: str) -> dict[str, bytes]:
    """What a run with holdings sent and wrote, without its decision and its report."""
    jaeger, langsmith = OtlpReceiver(), LangSmithServer()
    clear_langsmiths_cache()
    try:
        with (
            jaeger.served() as jaeger_url,
            langsmith.served() as langsmith_url,
            LoopbackServer(OfflineModel(latency_s=0.01).make_app) as server,
        ):
            done = CliRunner().invoke(
                main,
                ["run", "AAPL", "--holdings", f"AAPL={QUANTITY}@{PAID}", "--cash", f"{CASH}USD"],
                env={
                    "OPENAI_API_KEY": "k-openai",
                    "OPENAI_BASE_URL": f"{server.url}/v1",
                    "OTEL_EXPORTER_OTLP_ENDPOINT": jaeger_url,
                    "OTEL_METRICS_EXPORTER": "otlp",
                    "OTEL_LOGS_EXPORTER": "otlp",
                    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": capture,
                    "LANGSMITH_TRACING": "true",
                    "LANGSMITH_ENDPOINT": langsmith_url,
                    "LANGSMITH_API_KEY": "k-langsmith",
                    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
                },
            )
    finally:
        clear_langsmiths_cache()
    assert done.exit_code == 0, done.output
    assert "31,313.75 AAPL" in done.stdout
    (folder,) = (workdir / "runs").iterdir()
    assert "31,313.75 AAPL" in (folder / "report.md").read_text()
    assert json.loads((folder / "decision.json").read_text())["order"]["quantity_before"]
    assert langsmith.bodies
    assert jaeger.bodies
    return {
        "Jaeger": b"".join(jaeger.bodies),
        "LangSmith": b"".join(langsmith.bodies),
        "trace": (folder / "trace.jsonl").read_bytes(),
        **{str(each): each.read_bytes() for each in (workdir / "logs").rglob("*.log")},
    }


def figures_in(content: bytes) -> list[str]:
    return [each for each in FIGURES if each.encode() in content]


def test_no_figure_of_the_portfolio_leaves_with_traces_or_logs(workdir: Path) -> None:
    for place, content in run_with_figures(workdir, "NO_CONTENT").items():
        assert figures_in(content) == [], place


def test_with_content_the_agents_that_size_a_trade_are_seen_to_know_it(workdir: Path) -> None:
    places = run_with_figures(workdir, "SPAN_ONLY")
    for place in ("Jaeger", "LangSmith", "trace"):
        assert figures_in(places[place]), place
    (path,) = workdir.glob("runs/*/trace.jsonl")
    (trace,) = read(path)
    knowing = {
        str(trace.attributes(int(trace.parent[row]))[semconv.AGENT_NAME])
        for row in range(len(trace))
        if trace.names[row].startswith("chat ") and PAID in json.dumps(trace.attributes(row))
    }
    assert knowing == {*RISK_ANALYSTS, *DECIDERS} - {"research_manager"}
