"""What a wheel and an sdist hold: one package, whichever way it was built."""

import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.built_wheel import ROOT, build
from tests.deploy.test_house import PACKAGES, project_files

OURS = "trading_graph"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the sdist of this tree unpacks to."""
    made = build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(made) as archive:
        names = archive.getnames()
        assert len(names) == len(set(names)), "a file stands in it twice"
        archive.extractall(folder, filter="data")
    [tree] = folder.iterdir()
    return tree


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_wheel_holds_the_files_of_the_checkout_under_one_name(wheel: Path) -> None:
    names = {name for name in contents(wheel) if name.startswith(f"{OURS}/")}
    files = {path.relative_to(ROOT) for path in project_files()}
    ours = {f"{OURS}/{path}" for path in files if path.parts[0] in PACKAGES}
    ours |= {str(path) for path in files if path.parts[0] == OURS}
    assert names == ours
    assert {f"{OURS}/{package}/py.typed" for package in PACKAGES} <= names


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_checkout(
    wheel: Path, sdist: Path, tmp_path: Path
) -> None:
    again = build(sdist, "wheel", tmp_path)
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_an_sdist_has_no_link_and_no_test(sdist: Path) -> None:
    assert not any(path.is_symlink() for path in sdist.rglob("*"))
    assert {path.name for path in sdist.iterdir()} <= {
        *(".gitignore", "PKG-INFO", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
        *("pyproject.toml", "langgraph.json", OURS, "deploy", "docs", "examples"),
    }
