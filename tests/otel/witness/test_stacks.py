"""Whose line it is: own code before library code, and nothing of it but where it stands."""

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.otel.witness.watched import line_of
from trading_graph.otel.witness import stacks
from trading_graph.otel.witness.stacks import MAX_DEPTH, Origin, Stack, resolve, source, walk

HERE = __file__


class Camera:
    """Keeps the stack of whoever calls it, without its own frame."""

    def __init__(self) -> None:
        self._raw: stacks.RawStack = ()

    def __call__(self, *_: object) -> None:
        self._raw = walk(sys._getframe(1))

    @property
    def stack(self) -> Stack:
        return resolve(self._raw)

    @property
    def own(self) -> list[tuple[str, str, int]]:
        return [(line.path, line.function, line.number) for line in self.stack.own]


@pytest.fixture
def camera() -> Camera:
    return Camera()


def _module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def test_own_code_that_is_the_leaf_has_no_library(camera: Camera) -> None:
    camera()  # looks itself
    own = HERE, "test_own_code_that_is_the_leaf_has_no_library", line_of(HERE, "looks itself")
    assert camera.own[-1] == own
    assert camera.stack.library is None


def test_the_standard_library_is_the_leaf_below_the_line_that_calls_it(camera: Camera) -> None:
    with ExitStack() as closing:
        closing.callback(camera)
        closing.close()  # closes
    assert camera.own[-1][2] == line_of(HERE, "closes")
    library = camera.stack.library
    assert library is not None
    assert str(library).startswith("contextlib.py:")


def test_a_package_is_the_leaf_and_its_path_begins_at_it(
    camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = _module(
        tmp_path / "lib" / "site-packages",
        "slow",
        "def wait(look):\n    inner(look)\n\ndef inner(look):\n    look()\n",
        monkeypatch,
    )
    slow.wait(camera)  # waits
    assert camera.own[-1][2] == line_of(HERE, "waits")
    assert str(camera.stack.library) == "slow.py:5"


def test_a_package_says_more_than_the_standard_library_that_it_calls(
    camera: Camera, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        "import contextlib\n\n"
        "def wait(look):\n"
        "    with contextlib.ExitStack() as closing:\n"
        "        closing.callback(look)\n"
        "        closing.close()\n"
    )
    slow = _module(tmp_path / "site-packages", "slower", text, monkeypatch)
    slow.wait(camera)
    assert str(camera.stack.library) == "slower.py:6"


def test_own_code_that_a_library_calls_back_is_the_leaf(camera: Camera) -> None:
    def default(_: object) -> None:
        camera()  # called back

    json.dumps([object()], default=default)
    assert camera.own[-1] == (HERE, "default", line_of(HERE, "called back"))
    assert camera.stack.library is None


def test_what_a_library_runs_on_import_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, camera: Camera
) -> None:
    monkeypatch.setattr(sys, "look_for_test", camera, raising=False)
    text = "import sys\n\nsys.look_for_test()\n"
    _module(tmp_path / "site-packages", "imported_slowly", text, monkeypatch)
    assert camera.own[-1][1] == "_module"
    assert str(camera.stack.library) == "imported_slowly.py:3"


def test_the_witness_is_never_named(camera: Camera) -> None:
    """Its callback runs on top of whatever garbage collection interrupts."""
    ours = str(Path(stacks.__file__).with_name("pauses.py"))
    names: dict[str, Any] = {"look": camera}
    exec(compile("def heard():\n    look()\n", ours, "exec"), names)
    names["heard"]()  # collects
    assert camera.own[-1][2] == line_of(HERE, "collects")
    assert camera.stack.library is None


def test_the_await_chain_is_own_code_and_what_started_the_loop_is_not(camera: Camera) -> None:
    async def agent() -> None:
        await tool()

    async def tool() -> None:
        await asyncio.sleep(0)
        camera()

    async def main() -> None:
        await asyncio.create_task(agent())

    asyncio.run(main())
    assert [function for _, function, _ in camera.own] == ["agent", "tool"]


def test_a_finalizer_of_the_loops_library_hides_no_caller(camera: Camera) -> None:
    """Garbage collection closes forgotten loops in asyncio/base_events.py, on anyone's stack."""
    names: dict[str, Any] = {"look": camera}
    exec(compile("def __del__():\n    look()\n", asyncio.base_events.__file__, "exec"), names)
    names["__del__"]()  # finalizes
    assert camera.own[-1][2] == line_of(HERE, "finalizes")


def test_no_argument_and_no_local_is_read() -> None:
    """A frame that has nothing else to give is enough."""
    code = test_no_argument_and_no_local_is_read.__code__
    outer = SimpleNamespace(f_code=code, f_lineno=7, f_back=None)
    inner: Any = SimpleNamespace(f_code=code, f_lineno=None, f_back=outer)
    assert walk(inner) == [(code, code.co_firstlineno), (code, 7)]


def test_a_deep_stack_is_read_from_the_inside_and_not_to_its_end() -> None:
    def down(levels: int) -> stacks.RawStack:
        return down(levels - 1) if levels else walk(sys._getframe())

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 3 * MAX_DEPTH)
    try:
        raw = down(2 * MAX_DEPTH)
    finally:
        sys.setrecursionlimit(limit)
    assert len(raw) == MAX_DEPTH
    assert {code.co_name for code, _ in raw} == {"down"}


def _names(folder: Path) -> Callable[[str], Origin]:
    return lambda name: source(str(folder / name)).origin


def test_a_program_is_own_code_wherever_its_environment_lies(tmp_path: Path) -> None:
    """Its environment may lie inside its folder, and its folder behind a link."""
    project = tmp_path / "project"
    packages = project / ".venv" / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    (tmp_path / "link").symlink_to(project)
    (tmp_path / "packages").symlink_to(packages)
    for origin in (_names(project), _names(tmp_path / "link")):
        assert origin("app.py") is Origin.OWN
        assert origin(".venv/lib/python3/site-packages/requests/api.py") is Origin.LIBRARY
    assert _names(tmp_path / "packages")("requests/api.py") is Origin.LIBRARY


@pytest.mark.parametrize(
    ("filename", "origin"),
    [
        ("<string>", Origin.OWN),  # python -c
        ("<frozen importlib._bootstrap>", Origin.STANDARD_LIBRARY),
        (subprocess.__file__, Origin.STANDARD_LIBRARY),
        (pytest.__file__, Origin.LIBRARY),
        (stacks.__file__, Origin.WITNESS),
        (str(Path(stacks.__file__).parents[1] / "errors.py"), Origin.OWN),
    ],
)
def test_whose_a_file_is(filename: str, origin: Origin) -> None:
    assert source(filename).origin is origin
