"""What is known of services before a run: which profile serves, and what each fact rests on."""

import re
import subprocess
import sys
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.chat.profiles import (
    GENERAL_PROFILE,
    ProfileFileError,
    Service,
    profile_for,
    read_services,
    services,
)

PAGE = Path(__file__).parents[3] / "docs" / "models.md"

HEAD = """\
[[profile]]
name = "Example"
hosts = ["api.example.com"]
page = "https://example.com/docs"
read_on = 2026-11-27
"""

MODEL = f"""{HEAD}
[[profile.model]]
pattern = "*"
"""


def example(text: str) -> Service:
    [service] = read_services(text, "example.toml")
    return service


# Base URLs as the services' own pages write them.
ADDRESSES = {
    "https://api.openai.com/v1": "OpenAI",
    "https://YOUR-RESOURCE-NAME.openai.azure.com/openai/v1/": "Azure OpenAI",
    "https://api.anthropic.com/v1/": "Anthropic",
    "https://generativelanguage.googleapis.com/v1beta/openai/": "Gemini",
    "https://api.deepseek.com": "DeepSeek",
    "https://api.mistral.ai/v1": "Mistral",
    "https://dashscope-intl.aliyuncs.com/compatible-mode/v1": "Qwen",
    "https://dashscope-us.aliyuncs.com/compatible-mode/v1": "Qwen",
    "https://dashscope.aliyuncs.com/compatible-mode/v1": "Qwen",
    "https://cn-hongkong.dashscope.aliyuncs.com/compatible-mode/v1": "Qwen",
    "https://api.x.ai/v1": "xAI",
    "https://openrouter.ai/api/v1": "OpenRouter",
    "https://api.groq.com/openai/v1": "Groq",
    "http://localhost:11434/v1/": "Ollama",
    "http://localhost:1234/v1": "LM Studio",
    "http://localhost:8000/v1": "vLLM",
    "http://localhost:8080/v1": "llama.cpp",
    "http://0.0.0.0:4000": "LiteLLM",
}


@pytest.mark.parametrize(("base_url", "name"), ADDRESSES.items())
def test_the_address_of_its_own_page_finds_a_service(base_url: str, name: str) -> None:
    assert profile_for(base_url, "any-model").name == name


def test_every_service_has_such_an_address() -> None:
    assert set(ADDRESSES.values()) == {service.name for service in services()}


@pytest.mark.parametrize("base_url", [None, ""])
def test_without_an_address_it_is_openai(base_url: str | None) -> None:
    assert profile_for(base_url, "gpt-5").name == "OpenAI"


@pytest.mark.parametrize(
    "base_url",
    [
        "HTTPS://API.OPENAI.COM/v1",
        "https://api.openai.com.:443/v1",
        "https://eu.api.openai.com/v1",
        "api.openai.com/v1",
        "https://user:secret@api.openai.com/v1",
    ],
)
def test_other_ways_to_write_an_address_find_the_same_service(base_url: str) -> None:
    assert profile_for(base_url, "gpt-5").name == "OpenAI"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://evil-openai.com/v1",
        "https://api.openai.com.evil.org/v1",
        "https://notapi.openai.com/v1",
        "https://evilapi.openai.com.evil.org:443/v1",
        "https://api.openai.com@evil.org/v1",
        "https://evil.org/api.openai.com/v1",
        "https://evil.org/?u=https://api.openai.com",
        "https://openai.azure.com.evil.org/openai/v1",
        "https://example.com:8000/v1",  # On another machine this port is anybody's.
        "https://127.0.0.1.evil.org:8080/v1",
        "http://localhost:18000/v1",
        "http://localhost/v1",
        "http://localhost:99999/v1",
        "http://[::1/v1",
        "http://",
        "://",
    ],
)
def test_what_only_looks_like_a_service_is_none(base_url: str) -> None:
    assert profile_for(base_url, "gpt-5.6") is GENERAL_PROFILE


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "[::1]", "0.0.0.0"])
def test_a_server_on_this_machine_is_known_by_its_port(host: str) -> None:
    assert profile_for(f"http://{host}:8000/v1", "m").name == "vLLM"


@pytest.mark.parametrize("host", ["ollama", "192.168.1.20", "desk.example.org"])
def test_a_port_of_its_own_names_a_server_on_any_machine(host: str) -> None:
    assert profile_for(f"http://{host}:11434/v1", "m").name == "Ollama"


def test_a_name_says_more_than_a_port() -> None:
    assert profile_for("https://api.mistral.ai:11434/v1", "m").name == "Mistral"


@given(st.text(), st.text())
def test_no_address_and_no_model_make_it_fail(base_url: str, model: str) -> None:
    assert profile_for(base_url, model).name


# The rows of the table of habits that a page can tell before a run.
@pytest.mark.parametrize(
    ("base_url", "model", "fields"),
    [
        (None, "gpt-5.6", {"api": "responses"}),
        (None, "gpt-5.6-sol", {"api": "responses"}),
        (None, "gpt-5.2-pro", {"api": "responses"}),
        (None, "gpt-5.1-codex-max", {"api": "responses"}),
        (None, "gpt-5", {"forcing": "named", "temperature": False}),
        (None, "GPT-5-Mini", {"temperature": False}),
        (None, "gpt-5-chat-latest", {"temperature": True}),
        (
            "https://api.deepseek.com",
            "deepseek-v4-pro",
            {"forcing": "auto", "reasoning_field": "reasoning_content"},
        ),
        ("https://api.deepseek.com", "deepseek-chat", {"forcing": "named"}),
        ("https://api.mistral.ai/v1", "mistral-medium-latest", {"user_after_tool": False}),
        (
            "https://generativelanguage.googleapis.com/v1beta/openai/",
            "gemini-3-flash-preview",
            {"reasoning_field": "extra_content"},
        ),
        ("http://localhost:1234/v1", "qwen3-30b-a3b", {"forcing": "required"}),
        (
            "http://localhost:4000",
            "bedrock/us.anthropic.claude-sonnet-5",
            {"tools_with_history": True, "tool_choice_none": False},
        ),
        ("https://api.anthropic.com/v1/", "claude-opus-5-5", {"forcing": "auto"}),
    ],
)
def test_what_a_model_is_known_for(
    base_url: str | None, model: str, fields: dict[str, str | bool]
) -> None:
    assert fields.items() <= profile_for(base_url, model).fields.items()


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5-mini", "gpt-4o", "o4-mini"])
def test_models_that_chat_completions_serves_are_asked_there(model: str) -> None:
    assert "api" not in profile_for(None, model).fields


def test_nothing_is_said_of_an_unknown_service() -> None:
    profile = profile_for("https://llm.example.com/v1", "m")
    assert (profile.name, profile.page, profile.read_on, profile.fields) == (
        "general",
        "",
        None,
        {},
    )


def test_every_fact_has_a_page_and_a_date() -> None:
    for service in services():
        for models in service.model:
            facts = models.facts(service.page, service.read_on)
            assert facts, f"{service.name}: {models.pattern} says nothing"
            for fact in facts.values():
                assert fact.page.startswith("https://")
                # A day in hand for those who are ahead of UTC.
                assert date(2024, 1, 1) < fact.read_on <= date.today() + timedelta(days=1)


def test_a_pattern_is_in_lower_case_as_names_are_when_they_are_compared() -> None:
    for service in services():
        for models in service.model:
            assert models.pattern == models.pattern.lower()
            assert models.pattern == "*" or not fnmatchcase("any", models.pattern)


def test_names_are_unique() -> None:
    names = [service.name for service in services()]
    assert len(set(names)) == len(names)


def test_a_fact_rests_on_the_page_of_its_own_or_on_that_of_the_service() -> None:
    text = f"""{MODEL}
stream_options = true

[[profile.model]]
pattern = "*"
forcing = "auto"
page = "https://example.com/thread"
read_on = 2025-01-02
"""
    facts = example(text).profile("m").facts
    assert (facts["stream_options"].page, facts["stream_options"].read_on) == (
        "https://example.com/docs",
        date(2026, 11, 27),
    )
    assert (facts["forcing"].page, facts["forcing"].read_on) == (
        "https://example.com/thread",
        date(2025, 1, 2),
    )


def test_a_later_pattern_wins_field_by_field() -> None:
    text = f"""{MODEL}
forcing = "named"
temperature = true

[[profile.model]]
pattern = "big-*"
forcing = "auto"
"""
    service = example(text)
    assert service.profile("big-1").fields == {"forcing": "auto", "temperature": True}
    assert service.profile("small").fields == {"forcing": "named", "temperature": True}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"{MODEL}colour = true", "unknown field `colour`"),
        (f"{HEAD}colour = true", "unknown field `colour`"),
        (f"colour = true\n{HEAD}", "unknown field `colour`"),
        (f'{MODEL}forcing = "please"', "'please'"),
        (f'{MODEL}temperature = "yes"', "temperature"),
        (f"{MODEL}read_on = 2026-11-27", "go together"),
        (f'{MODEL}page = "https://example.com/a"', "go together"),
        (HEAD.replace("read_on = 2026-11-27", ""), "missing required field `read_on`"),
        (HEAD.replace("page =", "#"), "missing required field `page`"),
        ("profile = [", "example.toml"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(text: str, words: str) -> None:
    with pytest.raises(ProfileFileError, match=r"example\.toml cannot be used") as caught:
        read_services(text, "example.toml")
    assert words in str(caught.value)


def test_the_page_names_every_service_and_every_source() -> None:
    text = PAGE.read_text("utf-8")
    for service in services():
        assert f"| {service.name} |" in text
        for models in service.model:
            for fact in models.facts(service.page, service.read_on).values():
                assert fact.page in text, f"docs/models.md lacks {fact.page}"


def test_the_page_cites_no_source_that_the_file_lacks() -> None:
    sources = {service.page for service in services()} | {
        fact.page
        for service in services()
        for models in service.model
        for fact in models.facts(service.page, service.read_on).values()
    }
    text = PAGE.read_text("utf-8")
    table = text[text.index("## The pages") : text.index("## How it was tried")]
    assert set(re.findall(r"\]\((https://[^)]+)\)", table)) == sources


def test_it_loads_without_what_only_runs_need() -> None:
    code = (
        "import sys; from trading_graph.graph.chat.profiles import profile_for;"
        "profile_for(None, 'gpt-5');"
        "print(sorted({'langgraph', 'langchain_core', 'openai', 'aiohttp', 'pandas', 'pydantic'}"
        " & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_file_is_read_once() -> None:
    assert services() is services()
