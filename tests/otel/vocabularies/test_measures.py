"""Tokens, models, first tokens, sessions, statuses and languages."""

from typing import Any

import pytest

from trading_graph.otel.vocabularies import (
    Language,
    Usage,
    http_status,
    language,
    resend_count,
    session,
    usage,
)

NOTHING = Usage(None, None, None, None, None)


@pytest.mark.parametrize(
    "attributes",
    [
        {
            "gen_ai.usage.input_tokens": 50,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.request.model": "asked",
            "gen_ai.response.model": "m",
            "gen_ai.response.time_to_first_chunk": 0.25,
        },
        {
            "gen_ai.usage.prompt_tokens": 50,
            "gen_ai.usage.completion_tokens": 20,
            "gen_ai.request.model": "m",
            "gen_ai.server.time_to_first_token": 0.25,
        },
        {
            "llm.token_count.prompt": "50",
            "llm.token_count.completion": 20.0,
            "llm.model_name": "m",
            "llm.time_to_first_token": 0.25,
        },
        {
            "ai.usage.inputTokens": 50,
            "ai.usage.outputTokens": 20,
            "ai.model.id": "m",
            "ai.response.msToFirstChunk": 250,
        },
        {
            "ai.usage.promptTokens": 50,
            "ai.usage.completionTokens": 20,
            "ai.response.model": "m",
            "ai.stream.msToFirstChunk": 250.0,
        },
    ],
)
def test_every_vocabulary_gives_the_same_usage(attributes: dict[str, Any]) -> None:
    assert usage(attributes) == Usage(50, 20, "m", 0.25, None)


@pytest.mark.parametrize(
    "moment",
    [
        "2026-11-26T10:00:00.488Z",
        '"2026-11-26T10:00:00.488000Z"',
        "2026-11-26T11:00:00.488+01:00",
        1_795_687_200_488_000_000,
    ],
)
def test_langfuse_records_the_moment_of_the_first_token(moment: object) -> None:
    found = usage(
        {
            "langfuse.observation.model.name": "m",
            "langfuse.observation.usage_details": '{"input": 50, "output": 20, "total": 70}',
            "langfuse.observation.completion_start_time": moment,
        }
    )
    assert found == Usage(50, 20, "m", None, 1_795_687_200_488_000_000)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"gen_ai.usage.input_tokens": "many", "gen_ai.response.time_to_first_chunk": "nan"},
        {"langfuse.observation.usage_details": "[1]"},
        {"langfuse.observation.completion_start_time": "yesterday"},
        {"langfuse.observation.completion_start_time": '"'},
        {"gen_ai.request.model": 3},
    ],
)
def test_what_is_not_recorded_is_unknown(attributes: dict[str, Any]) -> None:
    assert usage(attributes) == NOTHING


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.conversation.id": "s"},
        {"session.id": "s"},
        {"langfuse.session.id": "s"},
        {"langsmith.metadata.thread_id": "s"},
        {"traceloop.association.properties.session_id": "s"},
        {"ai.telemetry.metadata.sessionId": "s"},
        {"metadata": '{"thread_id": "s"}'},
        {"logfire.span_type": "span", "group_id": "s"},
    ],
)
def test_sessions_are_known(attributes: dict[str, Any]) -> None:
    assert session(attributes) == "s"


def test_a_missing_group_is_no_session() -> None:
    assert session({"logfire.span_type": "span", "group_id": "null"}) is None
    assert session({}) is None


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        ({"http.response.status_code": 429}, 429),
        ({"http.status_code": "503"}, 503),
        ({"http.status_code": "good"}, None),
        ({}, None),
    ],
)
def test_old_and_new_statuses_are_read(attributes: dict[str, Any], status: int | None) -> None:
    assert http_status(attributes) == status


@pytest.mark.parametrize(
    ("attributes", "times"),
    [
        ({"http.request.resend_count": 2}, 2),
        ({"http.resend_count": "1"}, 1),
        ({"http.request.resend_count": -1}, 0),
        ({}, 0),
    ],
)
def test_resends_are_counted(attributes: dict[str, Any], times: int) -> None:
    assert resend_count(attributes) == times


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", Language.PYTHON),
        ("nodejs", Language.NODE),
        ("webjs", Language.NODE),
        ("dotnet", Language.DOTNET),
        ("rust", Language.OTHER),
        ("", None),
        (3, None),
        (None, None),
    ],
)
def test_the_resource_names_the_language(name: object, expected: Language | None) -> None:
    assert language({"telemetry.sdk.language": name}) is expected
