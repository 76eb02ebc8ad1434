"""The JSON schemas that docs/schemas publishes, each made from the types that commands print.

`python -m trading_graph.service.schemas docs/schemas` writes them anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trading_graph.otel.report.documents.comparison import ComparisonJson, NoComparisonJson
from trading_graph.otel.report.documents.diagnosis import DiagnosisJson
from trading_graph.otel.report.documents.document import json_schema
from trading_graph.otel.report.documents.span_details import ViewExportJson
from trading_graph.otel.report.documents.trace_view import WhatIfJson
from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.otel.trace.dependencies import Dependencies
from trading_graph.otel.verdict import Gate
from trading_graph.service.commands.decisions import DecisionsJson
from trading_graph.service.commands.doctor_document import DoctorJson
from trading_graph.service.commands.ladder import LadderJson
from trading_graph.service.exit_codes import ErrorJson
from trading_graph.service.portfolio.results.ranking_document import RankingJson
from trading_graph.service.portfolio.status_document import PortfolioJson
from trading_graph.service.recording.judgement import RecordJson
from trading_graph.service.run.result import RunJson


def published_schemas() -> dict[str, dict[str, Any]]:
    """The schemas, by the name of the document."""
    return {
        "comparison": json_schema(ComparisonJson, NoComparisonJson),
        "decisions": json_schema(DecisionsJson),
        "dependencies": json_schema(Dependencies),
        "diagnosis": json_schema(DiagnosisJson),
        "doctor": json_schema(DoctorJson),
        "error": json_schema(ErrorJson),
        "gate": json_schema(Gate),
        "ladder": json_schema(LadderJson),
        "portfolio": json_schema(PortfolioJson),
        "ranking": json_schema(RankingJson),
        "record": json_schema(RecordJson),
        "run": _run_schema(),
        "verdict": json_schema(VerdictJson),
        "view": json_schema(ViewExportJson),
        "what-if": json_schema(WhatIfJson),
    }


def _run_schema() -> dict[str, Any]:
    """The schema of a run; that of its decision is made from pydantic's."""
    definitions: dict[str, Any] = {}

    def hook(kind: type) -> dict[str, Any]:
        if not issubclass(kind, BaseModel):
            raise NotImplementedError
        schema = kind.model_json_schema(mode="serialization", ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[kind.__name__] = schema
        return {"$ref": f"#/$defs/{kind.__name__}"}

    schema = json_schema(RunJson, hook=hook)
    for each in definitions.values():
        # A later version may add fields, although this one takes no others from a model.
        each.pop("additionalProperties", None)
    return {**schema, "$defs": schema["$defs"] | definitions}


def write_schemas(folder: Path) -> None:
    """Write a file for each schema."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in published_schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
