"""The JSON schemas that docs/schemas publishes, each made from the types that commands print.

`python -m trading_graph.service.schemas docs/schemas` writes them anew.
"""

import json
import sys
from pathlib import Path
from typing import Any

from trading_graph.otel.report.documents.comparison import ComparisonJson, NoComparisonJson
from trading_graph.otel.report.documents.diagnosis import DiagnosisJson
from trading_graph.otel.report.documents.document import json_schema
from trading_graph.otel.report.documents.verdict import VerdictJson
from trading_graph.service.exit_codes import ErrorJson


def published_schemas() -> dict[str, dict[str, Any]]:
    """The schemas, by the name of the document."""
    return {
        "comparison": json_schema(ComparisonJson, NoComparisonJson),
        "diagnosis": json_schema(DiagnosisJson),
        "error": json_schema(ErrorJson),
        "verdict": json_schema(VerdictJson),
    }


def write_schemas(folder: Path) -> None:
    """Write a file for each schema."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in published_schemas().items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
