"""The house itself: who owns which name, what imports what, how modules look."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("otel", "toolkit", "graph", "service")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_LINES = 500
MAX_SERVICE_ROOT = 17
MAX_LAZY_IMPORTS = 16

# Built from parts, so that this file passes its own test.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "proxy.golang" + ".org",
    "sum.golang" + ".org",
    "registry.npmjs" + ".org",
    "crates" + ".io",
    "deb.debian" + ".org",
    "repo.maven" + ".apache.org",
]
FORBIDDEN = re.compile(
    "|".join([*map(re.escape, REGISTRIES), r"(?<![\w.-])/(?:work|root)/\w"]), re.IGNORECASE
)


def project_files() -> Iterator[Path]:
    """Yield the files that belong to the project, committed or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            yield ROOT / name


def test_no_file_names_a_registry_or_somebodys_folder() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in project_files()
        for number, line in enumerate(path.read_text(errors="ignore").splitlines(), start=1)
        if (match := FORBIDDEN.search(line))
    ]
    assert not found


def test_no_other_distribution_owns_our_import_name() -> None:
    owners = importlib.metadata.packages_distributions()
    # An editable install owns no files, so a missing entry is ours too.
    assert owners.get("trading_graph", ["trading-graph"]) == ["trading-graph"]


def imported_names(path: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_no_file_imports_a_folder_of_ours_by_its_bare_name() -> None:
    guilty = {
        str(path.relative_to(ROOT)): bare
        for path in project_files()
        if path.suffix == ".py" and (bare := imported_names(path) & set(PACKAGES))
    }
    assert not guilty


WALK = """
import importlib, os, pkgutil, sys
import trading_graph

folders = tuple(os.path.join(sys.argv[1], name, "") for name in sys.argv[2:])
for each in pkgutil.walk_packages(trading_graph.__path__, "trading_graph."):
    if not each.name.endswith(".__main__"):  # that one runs when it is imported
        importlib.import_module(each.name)
files = {}
for name, module in list(sys.modules.items()):
    path = getattr(module, "__file__", None)
    if path and name != "__main__" and os.path.realpath(path).startswith(folders):
        files.setdefault(os.path.realpath(path), set()).add(name)
ours = {name for names in files.values() for name in names if name.startswith("trading_graph.")}
print(len(ours), [names for names in files.values() if len(names) > 1])
"""


def test_no_file_is_loaded_under_two_names(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WALK, str(ROOT), *PACKAGES]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, _, twice = done.stdout.partition(" ")
    in_packages = [path for path in MODULES if (path.parent / "__init__.py").exists()]
    assert int(count) >= len(in_packages)
    assert twice.strip() == "[]"


def test_the_console_script_is_installed_and_can_be_loaded() -> None:
    [script] = importlib.metadata.entry_points(group="console_scripts", name="trading-graph")
    assert callable(script.load())


def test_a_module_opens_with_what_it_holds() -> None:
    assert len(MODULES) > 100
    assert not [path for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]


def test_a_module_holds_one_idea() -> None:
    assert not [path for path in MODULES if len(path.read_text().splitlines()) > MAX_LINES]


def test_the_root_of_service_stays_small() -> None:
    at_root = [path for path in (ROOT / "service").glob("*.py") if path.name != "__init__.py"]
    assert len(at_root) <= MAX_SERVICE_ROOT


ROW = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)


def test_the_map_has_every_room() -> None:
    """CONTRIBUTING.md names each folder with modules, or one above it below its package."""
    rooms = {
        name
        for row in ROW.findall((ROOT / "CONTRIBUTING.md").read_text())
        for name in re.findall(r"`([\w/]+)/`", row)
    }
    assert not [name for name in rooms if not (ROOT / name).is_dir()]
    folders = {path.parent.relative_to(ROOT) for path in MODULES}
    named = {Path(name) for name in rooms} - {Path(package) for package in PACKAGES}
    missing = {
        folder
        for folder in folders
        if len(folder.parts) > 1 and not named & {folder, *folder.parents}
    }
    assert not missing


def test_a_module_that_a_text_names_is_there() -> None:
    texts = [*MODULES, ROOT / "CONTRIBUTING.md"]
    named = {
        (path.relative_to(ROOT), name)
        for path in texts
        for name in re.findall(r"`(?:[\w/]+/)?(\w+\.py)`", path.read_text())
    }
    there = {path.name for path in project_files()}
    assert named
    assert not [(path, name) for path, name in named if name not in there]


def imports_in_functions(path: Path) -> Iterator[int]:
    """The lines of a file's imports that stand in a function."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for function in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(function, functions):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)):
                    yield node.lineno


def test_what_is_imported_late_is_imported_by_the_one_seam() -> None:
    """That is `service/lazy_import.py`; the few others are in packages below it."""
    late = {(path, line) for path in MODULES for line in imports_in_functions(path)}
    assert 0 < len(late) <= MAX_LAZY_IMPORTS


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert importlib.metadata.version("trading-graph") == project["version"]
    assert f"[{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/langgraph-dev.lock"])
def test_a_lock_has_every_dependency_with_hashes(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    server = (ROOT / "deploy" / "langgraph-dev.in").read_text().splitlines()
    more = {
        "requirements.lock": project["optional-dependencies"]["dev"],
        "deploy/langgraph-dev.lock": [line for line in server if not line.startswith("#")],
    }
    wanted = [*project["dependencies"], *more[lock]]
    locked = (ROOT / lock).read_text()
    pins = dict(re.findall(r"^([a-z0-9.-]+)==\S+.*\\\n +(--hash)", locked, re.MULTILINE))
    assert len(pins) == len(set(re.findall(r"^([a-z0-9.-]+)==", locked, re.MULTILINE)))
    names = {re.split(r"[<>=!~\[; ]", each)[0].lower() for each in wanted} - {"trading-graph"}
    assert names <= set(pins)


def test_the_server_runs_the_same_langgraph_as_the_tests() -> None:
    locks = (ROOT / "requirements.lock", ROOT / "deploy" / "langgraph-dev.lock")
    assert len({re.findall(r"^langgraph==\S+", lock.read_text(), re.M)[0] for lock in locks}) == 1


POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[\d,]+\})\+")


def test_no_regular_expression_has_a_possessive_group() -> None:
    """Python 3.11.2, which Debian 12 has, matches them wrongly."""
    strings = [
        (path.relative_to(ROOT), node.value)
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert not [each for each in strings if POSSESSIVE_GROUP.search(each[1])]
