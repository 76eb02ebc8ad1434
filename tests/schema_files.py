"""The published schemas, and whether a document fits the one of its name."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


def assert_fits(document: Any, name: str) -> None:
    """Fail where a document does not fit the schema of this name."""
    faults = [
        f"{fault.instance_path}: {fault.message}"
        for fault in _validator(name).iter_errors(document)
    ]
    assert not faults, faults[:5]


@cache
def _validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(json.loads((FOLDER / f"{name}.json").read_text()))
