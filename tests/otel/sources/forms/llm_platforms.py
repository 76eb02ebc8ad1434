"""The run as platforms for LLM programs export it."""

import json
from collections.abc import Callable
from typing import Any

from tests.otel.sources.forms.run import (
    ANSWER,
    CALLS,
    RUN,
    TRACE_ID,
    Part,
    base64_of,
    dumped,
    genai,
    lines,
    nested,
    openinference,
    rows,
    uuid,
)


def langsmith_run(part: Part) -> dict[str, Any]:
    kind = {"agent": "chain"}.get(part.role, part.role)
    outputs: Any = {}
    if part.name == "ask":
        outputs = ANSWER
    elif part.role == "llm":
        outputs = {"generations": [[{"text": "done"}]]}
    elif part.role == "tool":
        outputs = {"output": {"content": "1", "tool_call_id": part.call}}
    return {
        "id": uuid(part.number),
        "name": part.name,
        "run_type": kind,
        "start_time": part.iso[0].removesuffix("+00:00"),
        "end_time": part.iso[1].removesuffix("+00:00"),
        "parent_run_id": uuid(part.parent) if part.parent else None,
        "trace_id": uuid(1),
        "dotted_order": f"20251114T060000000000Z{uuid(1)}",
        "status": "success",
        "inputs": {},
        "outputs": outputs,
        "extra": {"metadata": {}},
    }


def langsmith_nested() -> Any:
    first, *others = (langsmith_run(each) for each in RUN)
    for each in others:
        del each["trace_id"], each["parent_run_id"]
    return {**first, "child_runs": others}


def langfuse_observation(part: Part) -> dict[str, Any]:
    output: Any = None
    if part.role == "llm":
        output = {"role": "assistant", "tool_calls": CALLS if part.name == "ask" else []}
    return {
        "id": part.id,
        "traceId": TRACE_ID,
        "type": {"agent": "AGENT", "llm": "GENERATION", "tool": "TOOL"}[part.role],
        "name": part.name,
        "startTime": part.iso[0].replace("+00:00", "Z"),
        "endTime": part.iso[1].replace("+00:00", "Z"),
        "parentObservationId": part.parent_id or None,
        "level": "DEFAULT",
        "model": "m" if part.role == "llm" else None,
        "input": {},
        "output": output,
        "metadata": {},
    }


def langfuse_row(part: Part) -> dict[str, Any]:
    row = langfuse_observation(part)
    return {
        "id": row["id"],
        "trace_id": TRACE_ID,
        "type": row["type"],
        "name": row["name"],
        "parent_observation_id": row["parentObservationId"],
        "start_time": part.iso[0].replace("T", " ").removesuffix("+00:00"),
        "end_time": part.iso[1].replace("T", " ").removesuffix("+00:00"),
        "provided_model_name": row["model"],
        "output": json.dumps(row["output"]),
    }


def phoenix_span(part: Part) -> dict[str, Any]:
    return {
        "id": f"U3Bhbjo{part.number}",
        "name": part.name,
        "context": {"trace_id": TRACE_ID, "span_id": part.id},
        "span_kind": part.role.upper(),
        "parent_id": part.parent_id or None,
        "start_time": part.iso[0],
        "end_time": part.iso[1],
        "status_code": "OK",
        "status_message": "",
        "attributes": openinference(part),
        "events": [],
    }


def phoenix_row(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "name": part.name,
        "span_kind": part.role.upper(),
        "parent_id": part.parent_id or None,
        "start_time": start,
        "end_time": end,
        "status_code": "OK",
        "context.span_id": part.id,
        "context.trace_id": TRACE_ID,
        **{f"attributes.{key}": each for key, each in openinference(part).items()},
    }


def phoenix_columns() -> Any:
    rows = {each.id: phoenix_row(each) for each in RUN}
    for row in rows.values():
        del row["context.span_id"]
    names = dict.fromkeys(name for row in rows.values() for name in row)
    return {name: {id: row.get(name) for id, row in rows.items()} for name in names}


def phoenix_split() -> Any:
    rows = [phoenix_row(each) for each in RUN]
    names = list(dict.fromkeys(name for row in rows for name in row))
    data = [[row.get(name) for name in names] for row in rows]
    return {"columns": names, "index": list(range(len(rows))), "data": data}


def mlflow_attributes(part: Part) -> dict[str, str]:
    kind = {"agent": "AGENT", "llm": "CHAT_MODEL", "tool": "TOOL"}[part.role]
    found: dict[str, Any] = {"mlflow.spanType": kind, "mlflow.spanInputs": {"q": part.name}}
    if part.role == "llm":
        found["mlflow.spanOutputs"] = {"tool_calls": CALLS if part.name == "ask" else []}
    return {key: json.dumps(each) for key, each in found.items()}


def mlflow_3(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "trace_id": base64_of(TRACE_ID),
        "span_id": base64_of(part.id),
        "parent_span_id": base64_of(part.parent_id) if part.parent else None,
        "name": part.name,
        "start_time_unix_nano": start * 10**6,
        "end_time_unix_nano": end * 10**6,
        "status": {"code": "STATUS_CODE_OK", "message": ""},
        "attributes": mlflow_attributes(part),
    }


def mlflow_2(part: Part) -> dict[str, Any]:
    start, end = part.ms
    return {
        "name": part.name,
        "context": {"trace_id": f"0x{TRACE_ID}", "span_id": f"0x{part.id}"},
        "parent_id": f"0x{part.parent_id}" if part.parent else None,
        "start_time": start * 10**6,
        "end_time": end * 10**6,
        "status_code": "OK",
        "attributes": mlflow_attributes(part),
        "events": [],
    }


def mlflow(span: Callable[[Part], dict[str, Any]]) -> Any:
    return {"info": {"trace_id": f"tr-{TRACE_ID}"}, "data": {"spans": [span(each) for each in RUN]}}


def agentops() -> Any:
    spans = [
        {
            "span_id": part.id,
            "parent_span_id": part.parent_id,
            "span_name": part.name,
            "span_kind": "Internal",
            "service_name": "svc",
            "start_time": part.iso[0],
            "end_time": part.iso[1],
            "duration": (part.end_ms - part.start_ms) * 10**6,
            "status_code": "OK",
            "attributes": {},
            "resource_attributes": {},
            "span_attributes": nested(
                {"agentops.span.kind": part.role, **({} if part.role == "agent" else genai(part))}
            ),
        }
        for part in RUN
    ]
    return {"trace": {"trace_id": TRACE_ID, "span_count": 5}, "spans": spans}


FORMS: dict[str, bytes] = {
    "LangSmith": dumped(rows(langsmith_run)),
    "LangSmith, lines": lines(rows(langsmith_run)),
    "LangSmith, runs": dumped({"runs": rows(langsmith_run)}),
    "LangSmith, nested": dumped(langsmith_nested()),
    "Langfuse": dumped({"trace": {"id": TRACE_ID}, "observations": rows(langfuse_observation)}),
    "Langfuse, trace": dumped({"id": TRACE_ID, "observations": rows(langfuse_observation)}),
    "Langfuse, observations": dumped(rows(langfuse_observation)),
    "Langfuse, answer": dumped({"data": rows(langfuse_observation), "meta": {"page": 1}}),
    "Langfuse, export": lines(rows(langfuse_row)),
    "Phoenix": dumped(rows(phoenix_span)),
    "Phoenix, answer": dumped({"data": rows(phoenix_span), "next_cursor": None}),
    "Phoenix, lines of a dataframe": lines(rows(phoenix_row)),
    "Phoenix, columns": dumped(phoenix_columns()),
    "Phoenix, split": dumped(phoenix_split()),
    "MLflow 3": dumped(mlflow(mlflow_3)),
    "MLflow 2": dumped(mlflow(mlflow_2)),
    "MLflow, artifact": dumped({"spans": rows(mlflow_2)}),
    "MLflow, lines": lines([mlflow(mlflow_3)]),
    "AgentOps": dumped(agentops()),
}
