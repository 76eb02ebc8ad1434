"""Imports of a namespace that several distributions share are declared: deptry cannot tell whose
such a module is.
"""

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.deploy.test_house import MODULES, ROOT


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, and what it imports from them, which may be modules."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{each.name}" for each in node.names)


def origin(name: str) -> Path | None:
    """The file of a module, or of the one that holds the name; None for a mere namespace."""
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None and "." in name:
        return origin(name.rpartition(".")[0])
    return Path(spec.origin) if spec and spec.origin else None


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_module_of_a_shared_namespace_is_of_a_declared_distribution() -> None:
    owners = importlib.metadata.packages_distributions()
    shared = {name for name, each in owners.items() if len(set(each)) > 1}
    assert "opentelemetry" in shared
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    declared = {normal(re.split(r"[<>=!~\[; ]", line)[0]) for line in lines}
    whose = {
        Path(str(file.locate())): normal(each.name)
        for each in importlib.metadata.distributions()
        for file in each.files or ()
        if file.suffix == ".py" and file.parts[0] in shared
    }
    names = {name for path in MODULES for name in imports(path)}
    files = {name: origin(name) for name in names if name.partition(".")[0] in shared}
    strangers = {name: whose[file] for name, file in files.items() if file in whose}
    assert len(strangers) > 20
    assert set(strangers.values()) <= declared
