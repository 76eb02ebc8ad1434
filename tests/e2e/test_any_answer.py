"""Whatever a model answers, a run ends with a decision or one sentence, and keeps its reports."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trading_graph.graph.decisions import Decision, FinalDecision
from trading_graph.graph.offline_model.answer import outgoing_call
from trading_graph.graph.offline_model.conversation import AGENTS, SCHEMAS
from trading_graph.graph.offline_model.protocol import ModelAnswer
from trading_graph.graph.offline_model.server import Call, OfflineModel, stream
from trading_graph.service.cli import main
from trading_graph.toolkit.loopback import LoopbackServer

ENV = {
    "OTEL_TRACES_EXPORTER": "none",
    "OPENAI_API_KEY": "sk-of-the-test-0123456789",
    "TRADING_GRAPH_QUICK_MODEL": "small",
    "TRADING_GRAPH_DEEP_MODEL": "large",
    "TRADING_GRAPH_FETCH_LATENCY_S": "0.01",
}
ANSWERED = {
    "action": "BUY",
    "confidence": "70%",
    "horizon_days": 30,
    "entry": "$272.41",
    "stop": 262,
    "target": 290,
    "position_pct": 5,
    "rationale": "Because.",
    "summary": "Because.",
    "risks": [],
}
HELD: Mapping[str, Any] = {
    **ANSWERED,
    "action": "hold",
    **dict.fromkeys(("entry", "stop", "target", "horizon_days", "position_pct")),
}
scalars = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10)
objects = st.dictionaries(st.sampled_from([*ANSWERED, "x"]), scalars, max_size=5)
decisions = st.sampled_from([ANSWERED, HELD]).flatmap(
    lambda fields: objects.map(lambda changes: {**fields, **changes}) | st.just(fields)
)
texts = st.one_of(
    st.text(max_size=60),
    decisions.map(json.dumps),
    decisions.map(lambda fields: f"<think>hm</think>```json\n{json.dumps(fields)}\n```"),
    decisions.map(json.dumps).map(lambda text: text[: len(text) // 2]),
)
arguments = st.text(max_size=30) | objects.map(json.dumps) | decisions.map(json.dumps)
names = st.sampled_from([*SCHEMAS.values(), "get_prices", "nothing", ""])
answers = st.builds(ModelAnswer, texts) | st.lists(
    st.builds(outgoing_call, names, arguments), min_size=1, max_size=3
).map(lambda calls: ModelAnswer(tool_calls=tuple(calls)))
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "usage", "error", "id", "content"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)
raw = st.lists(
    st.binary(max_size=40)
    | st.sampled_from([b"data: null\n\n", b"data: [DONE]\n\n", b"data: {\n\n", b"<html>", b"\n\n"])
    | json_values.map(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n"),
    min_size=1,
    max_size=4,
)
spoiled = st.dictionaries(st.sampled_from(AGENTS), answers | raw, min_size=1, max_size=4)


class WildModel(OfflineModel):
    """The offline model, whose answers to some agents are replaced by any other."""

    def __init__(self, instead: Mapping[str, ModelAnswer | Sequence[bytes]]) -> None:
        super().__init__(latency_s=0, chunks=1)
        self.instead = instead

    async def respond(self, call: Call) -> web.StreamResponse:
        match self.instead.get(call.conversation.agent):
            case None:
                return await super().respond(call)
            case ModelAnswer() as answer:
                return await self.send(call, answer, 0)
            case events:
                return await stream(call, list(events), 0)


@pytest.mark.usefixtures("workdir")
@settings(
    max_examples=15,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
@given(spoiled)
def test_any_answer_ends_in_a_decision_or_one_sentence(
    instead: dict[str, ModelAnswer | list[bytes]],
) -> None:
    with (
        LoopbackServer(WildModel(instead).make_app) as server,
        tempfile.TemporaryDirectory() as out,
    ):
        env = {**ENV, "OPENAI_BASE_URL": f"{server.url}/v1"}
        words = ["run", "AAPL", "--json", "--out", out, "--agent-budget", "20"]
        done = CliRunner().invoke(main, words, env=env)
        (folder,) = Path(out).iterdir()
        assert "Traceback" not in done.output
        assert done.exit_code in (0, 3), done.output
        if done.exit_code == 3:
            sentence = json.loads(done.stdout)["error"]["message"]
            assert sentence
            assert "\n" not in sentence
            assert ("--resume" in sentence) == (folder / "report.md").exists()
            return
        decision = Decision.model_validate_json((folder / "decision.json").read_text())
        assert (folder / "report.md").read_text().count("### ") >= 4
        stated = instead.get("risk_judge")
        if stated is not None and decision.decided_by == "model":
            assert_stated(decision.decision, stated)


def assert_stated(decision: FinalDecision, stated: ModelAnswer | list[bytes]) -> None:
    """The decision has the prices that the judge's own answer has."""
    assert isinstance(stated, ModelAnswer)
    said = stated.text + "".join(call.arguments for call in stated.tool_calls)
    assert decision.action in said.upper()
    for price in (decision.entry, decision.stop, decision.target):
        assert price is None or f"{price:g}" in said
