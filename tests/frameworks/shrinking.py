"""Makes a recorded trace small enough to be a fixture: prompts and results go.

    python -m tests.frameworks.shrinking FOLDER [NAME ...]    keep FOLDER/NAME as fixtures, or all

Ids, roles, times, metadata and the ids of the calls that a model's answer lists stay as recorded.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tests.frameworks.scores import FIXTURES, MANIFEST, largest_trace

LONG = 300
CONTENT = re.compile(
    r"llm\.input_messages\.|llm\.tools\.|llm\.invocation_parameters|gen_ai\.input\.messages"
    r"|gen_ai\.prompt|gen_ai\.tool\.definitions|gen_ai\.system_instructions|pydantic_ai\."
    r"|logfire\.json_schema|model_request_parameters|tool\.description|traceloop\.entity\.input"
    r"|langsmith\.metadata\.(?:LANGSMITH_|revision_id)|langsmith\.trace\.session_name"
    r"|(?:langsmith\.metadata|traceloop\.association\.properties)\.(?:ls_|lc_versions)"
    r"|llm\.request\.functions"
    r"|crew_agents|crew_tasks|gcp\.vertex\.agent\.(?:llm|tool)|.*\.json_schema$|output\.mime_type"
    r"|input\.mime_type"
)
ANSWER = re.compile(r"metadata$|gen_ai\.output\.messages|gen_ai\.completion|llm\.output_messages\.")
"""Long values that say what a model asked for, or where in a graph a span stands."""

ANSWER_LONG = 2000


def shrink(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without what makes it large."""
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                shrink_span(span)
    return document


def shrink_span(span: dict[str, Any]) -> None:
    """Drop a span's long attributes, and the content of its events."""
    span["attributes"] = [each for each in span["attributes"] if is_kept(each)]
    for event in span.get("events", []):
        event["attributes"] = [each for each in event.get("attributes", []) if size(each) < LONG]
    if span.get("status") == {"code": 0}:
        del span["status"]


def is_kept(attribute: dict[str, Any]) -> bool:
    """Tell whether an attribute stays."""
    if CONTENT.match(attribute["key"]):
        return False
    return size(attribute) < (ANSWER_LONG if ANSWER.match(attribute["key"]) else LONG)


def size(attribute: dict[str, Any]) -> int:
    """Count the characters of an attribute's value."""
    return len(json.dumps(attribute["value"]))


def keep(folder: Path) -> dict[str, Any]:
    """Make a fixture of a run's folder; returns its line of the manifest."""
    truth = json.loads((folder / "truth.json").read_text())
    trace = folder / "trace.json"
    document = shrink(json.loads(trace.read_text()))
    if chosen := largest_trace(trace):
        leave_out_others(document, chosen[-1])
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / f"{folder.name}.json").write_text(
        json.dumps(document, separators=(",", ":")) + "\n"
    )
    return {"file": f"{folder.name}.json", "kind": truth["kind"], "truth": truth}


def leave_out_others(document: dict[str, Any], trace_id: str) -> None:
    """Keep one trace of a document."""
    for resource in document["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            scope["spans"] = [span for span in scope["spans"] if span["traceId"] == trace_id]
        resource["scopeSpans"] = [scope for scope in resource["scopeSpans"] if scope["spans"]]


def main(words: list[str]) -> None:
    """Keep the runs that are named, and write the manifest of all fixtures."""
    folder, names = Path(words[0]), words[1:]
    known = {
        each["file"]: each
        for each in (json.loads(MANIFEST.read_text()) if MANIFEST.exists() else [])
    }
    for path in sorted(folder.glob("*/truth.json")):
        if not names or path.parent.name in names:
            line = keep(path.parent)
            known[line["file"]] = line
    lines = (json.dumps(known[name]) for name in sorted(known))
    MANIFEST.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main(sys.argv[1:])
