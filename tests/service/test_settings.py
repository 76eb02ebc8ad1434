"""Settings that cannot be used: one sentence, the variable's name, never its value."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from trading_graph.service.cli import main
from trading_graph.service.errors import SettingsError
from trading_graph.service.settings import read_settings


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "TRADING_GRAPH_DATA",
            "bogus-value",
            "TRADING_GRAPH_DATA: input should be 'offline'",
        ),
        (
            "TRADING_GRAPH_CHAT_LATENCY_S",
            "-1.75",
            "TRADING_GRAPH_CHAT_LATENCY_S: input should",
        ),
        ("TRADING_GRAPH_MAX_CALLS", "-17", "TRADING_GRAPH_MAX_CALLS: input should be greater"),
        ("TRADING_GRAPH_PRICES", "bogus-value", "TRADING_GRAPH_PRICES is not JSON"),
        ("TRADING_GRAPH_PRICES", "bogus-value", """is not JSON such as '{"...": ...}';"""),
        (
            "TRADING_GRAPH_SERVE_TOKEN_SHA256",
            "bogus-value",
            """TRADING_GRAPH_SERVE_TOKEN_SHA256 is not JSON such as '["...", "..."]';""",
        ),
        ("LANGSMITH_TRACING", "bogus-value", "LANGSMITH_TRACING: input should be a valid boolean"),
    ],
)
@pytest.mark.parametrize("words", [["run", "AAPL", "--offline"], ["verify", "last"]], ids=" ".join)
def test_a_bad_setting_is_one_sentence_and_a_usage_error(
    workdir: Path, words: list[str], variable: str, value: str, said: str
) -> None:
    done = CliRunner().invoke(main, words, env={variable: value})
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert value not in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (workdir / "runs").exists()


def test_a_file_of_settings_is_named_like_the_environment(workdir: Path) -> None:
    (workdir / ".env").write_text("TRADING_GRAPH_FETCH_LATENCY_S=soon\nOPENAI_API_KEY=sk-1\n")
    with pytest.raises(
        SettingsError, match="TRADING_GRAPH_FETCH_LATENCY_S: input should be a valid"
    ):
        read_settings()


def test_a_good_file_is_read(workdir: Path) -> None:
    (workdir / ".env").write_text('TRADING_GRAPH_PRICES={"m": [1, 2]}\n')
    assert read_settings().prices == {"m": (1.0, 2.0)}


@pytest.mark.parametrize(
    "url", ["notaurl", "127.0.0.1:9", "http://", "http://127.0.0.1:99999/v1", "http://[::1"]
)
def test_an_address_that_cannot_be_asked_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(SettingsError, match="OPENAI_BASE_URL") as caught:
        read_settings()
    assert url not in str(caught.value)
