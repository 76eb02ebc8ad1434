"""`doctor --model` asks a model what agents ask, and says what its service can do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.graph.chat.scripted_service import Answer, Json, ScriptedService, delta, refuse, text
from trading_graph.graph.chat.memory import Memory
from trading_graph.service.commands.doctor import doctor_command
from trading_graph.service.exit_codes import ExitCode
from trading_graph.toolkit.loopback import LoopbackServer


def answering(path: str, body: Json) -> Answer:
    """A service that takes no named tool, and whose model does as it is told."""
    if isinstance(body.get("tool_choice"), dict):
        return refuse("tool_choice must be none, auto or required", param="tool_choice")
    if body.get("tools") and body.get("tool_choice") != "none":
        name = body["tools"][0]["function"]["name"]
        arguments = '{"place": "Oslo"}' if name == "get_weather" else '{"word": "rain"}'
        call = {"index": 0, "id": "c", "function": {"name": name, "arguments": arguments}}
        return Answer([delta(tool_calls=[call], reasoning_content="hm"), delta("tool_calls")])
    return text("ready")


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Memory:
    path = tmp_path / "models.json"
    monkeypatch.setenv("TRADING_GRAPH_MODEL_MEMORY", str(path))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    return Memory(path)


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch, script: ScriptedService) -> Iterator[ScriptedService]:
    server = LoopbackServer(script.make_app)
    server.start()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("TRADING_GRAPH_QUICK_MODEL", "m")
    monkeypatch.setenv("TRADING_GRAPH_DEEP_MODEL", "m")
    try:
        yield script
    finally:
        server.stop()


def findings(
    capsys: pytest.CaptureFixture[str], *, model: bool = True, forget_model: bool = False
) -> dict[str, tuple[str, str]]:
    doctor_command(model=model, forget_model=forget_model, as_json=True)
    document = json.loads(capsys.readouterr().out)
    return {each["check"]: (each["state"], each["found"]) for each in document["findings"]}


def test_it_says_what_the_service_can_do(
    workdir: Path,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with serving(monkeypatch, ScriptedService(answering)) as service:
        told = findings(capsys)
        assert told["profile of m"] == ("ok", "general")
        assert told["learned of m"][0] == "off"
        assert told["m: text"][1].startswith("answers by chat/completions, streamed")
        assert "reasoning_content" in told["m: tool call"][1]
        assert told["m: structured answer"] == ("ok", "given by a tool that is required")
        assert "tool_choice must be none" in told["m: refused"][1]
        asked = len(service.requests)
        assert asked == 5  # Four, and the one that was refused.

        told = findings(capsys)
        assert "tool_choice was refused" in told["learned of m"][1]
        assert len(service.requests) == asked + 4

        assert findings(capsys, model=False, forget_model=True)["learned of m"][0] == "off"
        assert len(service.requests) == asked + 4
        assert memory.lessons() == []


def test_a_service_that_refuses_is_red_with_its_own_words(
    workdir: Path,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = ScriptedService(lambda path, body: refuse("Insufficient Balance", 402))
    with serving(monkeypatch, script):
        code = doctor_command(model=True, forget_model=False, as_json=False)
    assert code is ExitCode.CHECK_FAILED
    said = " ".join(capsys.readouterr().out.split())
    assert "Insufficient Balance" in said
    assert "waiting does not help" in said


def test_without_a_model_there_is_nobody_to_ask(
    workdir: Path,
    memory: Memory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # An empty variable is an unset one.
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    assert findings(capsys)["model"][0] == "red"
