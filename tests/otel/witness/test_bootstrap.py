"""What the start of the witness does to a program that was not changed: nothing but record it."""

import importlib.metadata
import json
import pkgutil
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.recording import ROOT, names, notes, traces, witnessed, write
from trading_graph.otel.witness import start
from trading_graph.otel.witness.process_notes import Note

API_ONLY = """
from opentelemetry import trace

with trace.get_tracer("app").start_as_current_span("call"):
    pass
"""
OWN_PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
"""


def said(folder: Path, note: str) -> list[tuple[str, ...]]:
    return [words for process in notes(folder) for words in process.said(note)]


def run(folder: Path, program: str, *words: str, path: str = "", **environment: str) -> str:
    """Run a program with the witness beside it; returns what it printed."""
    (folder / "app.py").write_text(program)
    done = witnessed(folder, "app.py", *words, path=path, **environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert not said(folder, Note.FAULT)
    return done.stdout


def test_spans_are_recorded_where_no_provider_is_set(tmp_path: Path) -> None:
    shown = "\nprint(type(trace.get_tracer_provider()).__name__)"
    assert run(tmp_path, API_ONLY + shown) == "ProxyTracerProvider\n", "the witness sets none"
    assert names(traces(tmp_path)) == ["call"]


def test_a_provider_that_is_set_later_is_used_from_then_on(tmp_path: Path) -> None:
    """A tracer that was made before goes over to it; its exporter gets its own spans alone."""
    program = (
        "from opentelemetry import trace\n"
        'tracer = trace.get_tracer("app")\ntracer.start_span("before").end()\n'
        'still_open = tracer.start_span("over the change")\n'
        + OWN_PROVIDER
        + "trace.set_tracer_provider(provider)\nassert trace.get_tracer_provider() is provider\n"
        'tracer.start_span("after").end()\nstill_open.end()\n'
        "print([span.name for span in exporter.get_finished_spans()])"
    )
    assert run(tmp_path, program) == "['after']\n"
    assert names(traces(tmp_path)) == ["after", "before", "over the change"]


def test_a_provider_that_is_no_global_one_is_recorded_too(tmp_path: Path) -> None:
    program = OWN_PROVIDER + (
        'provider.get_tracer("app").start_span("call").end()\n'
        "print(len(exporter.get_finished_spans()))"
    )
    assert run(tmp_path, program) == "1\n"
    assert names(traces(tmp_path)) == ["call"]


@pytest.mark.parametrize(
    "first",
    [
        "from trading_graph import witness\nwitness.install()",
        "import trading_graph.otel.witness as witness\nwitness.declarations()\nwitness.install()",
        "from opentelemetry.sdk import trace\nfrom trading_graph.witness import install\ninstall()",
    ],
)
def test_a_program_that_has_the_witness_itself_is_recorded(tmp_path: Path, first: str) -> None:
    """It may import it before the SDK, which the witness then loads."""
    run(tmp_path, first + API_ONLY)
    assert names(traces(tmp_path)) == ["call"]


def test_a_disabled_sdk_stays_disabled(tmp_path: Path) -> None:
    run(tmp_path, API_ONLY, OTEL_SDK_DISABLED="true")
    assert traces(tmp_path) == []


def test_a_sampler_of_the_environment_does_not_thin_out_what_nobody_else_takes(
    tmp_path: Path,
) -> None:
    run(tmp_path, API_ONLY, OTEL_TRACES_SAMPLER="always_off")
    assert names(traces(tmp_path)) == ["call"]


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_children_are_recorded(tmp_path: Path, method: str) -> None:
    program = (
        "import multiprocessing\nfrom opentelemetry import trace\n"
        'def work(n):\n    trace.get_tracer("app").start_span(f"child {n}").end()\n'
        'if __name__ == "__main__":\n'
        '    trace.get_tracer("app").start_span("parent").end()\n'
        f"    context = multiprocessing.get_context({method!r})\n"
        "    with context.Pool(1) as pool:\n        pool.map(work, range(2))\n"
    )
    run(tmp_path, program)
    assert names(traces(tmp_path)) == ["child 0", "child 1", "parent"]


def test_without_spans_a_program_imports_next_to_nothing_more(tmp_path: Path) -> None:
    program = "import sys; print(*sorted(sys.modules))"
    ours = run(tmp_path, program, **{start.INSTRUMENT: "auto"})
    alone = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    packages = {each.partition(".")[0] for each in {*ours.split()} - {*alone.stdout.split()}}
    assert packages <= {
        *("trading_graph", "trading_graph_bootstrap", "sitecustomize"),
        *("__future__", "importlib", "types", "warnings"),
    }


def test_modules_look_as_if_nobody_watched(tmp_path: Path) -> None:
    program = (
        "import inspect, opentelemetry.trace as api\n"
        "print(type(api.__loader__).__name__, type(api.__spec__.loader).__name__)\n"
        'print("class ProxyTracer" in inspect.getsource(api))'
    )
    assert run(tmp_path, program) == "SourceFileLoader SourceFileLoader\nTrue\n"


def test_other_finders_that_ask_all_finders_do_not_go_round_in_circles(tmp_path: Path) -> None:
    write(tmp_path, {"httpx.py": "print('imported')"})
    program = (
        "import sys\nclass Asking:\n"
        "    def find_spec(self, *words):\n"
        "        for each in sys.meta_path:\n"
        "            if each is not self and (spec := each.find_spec(*words)):\n"
        "                return spec\n"
        "sys.meta_path.insert(1, Asking())\nimport httpx"
    )
    assert run(tmp_path, program) == "imported\n"
    assert said(tmp_path, Note.IMPORTED) == [("httpx",)]


def test_without_the_switch_nothing_happens(tmp_path: Path) -> None:
    program = "import sys; print([type(each).__name__ for each in sys.meta_path])"
    assert "ImportHooks" not in run(tmp_path, program, **{start.SWITCH: "0"})
    assert "ImportHooks" in run(tmp_path, program)


def test_the_programs_own_sitecustomize_runs(tmp_path: Path) -> None:
    write(tmp_path, {"own/sitecustomize.py": "import sys; sys.their_own = __file__, __spec__.name"})
    program = (
        "import sys, sitecustomize; print(sys.their_own); print(sitecustomize.__file__)\n"
        + API_ONLY
    )
    own = str(tmp_path / "own")
    file = f"{own}/sitecustomize.py"
    assert run(tmp_path, program, path=own) == f"{(file, 'sitecustomize')}\n{file}\n"
    assert names(traces(tmp_path)) == ["call"]


def test_an_error_in_the_programs_own_sitecustomize_is_said_as_ever(tmp_path: Path) -> None:
    write(tmp_path, {"own/sitecustomize.py": "1 / 0", "app.py": API_ONLY})
    done = witnessed(tmp_path, "app.py", path=str(tmp_path / "own"))
    assert done.returncode == 0
    assert "Error in sitecustomize" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert names(traces(tmp_path)) == ["call"]


def test_a_python_that_cannot_import_the_witness_says_so_and_runs(tmp_path: Path) -> None:
    write(tmp_path, {"none/trading_graph/__init__.py": "", "app.py": "print('ran')"})
    done = witnessed(tmp_path, "app.py", path=str(tmp_path / "none"))
    assert (done.stdout, done.stderr) == ("ran\n", "")
    ((module, error),) = said(tmp_path, Note.CANNOT_IMPORT)
    assert module == "trading_graph.otel"
    assert error.startswith("ModuleNotFoundError")


def test_nothing_in_the_folder_hides_a_module_of_others() -> None:
    found = {path.name for path in Path(start.BOOTSTRAP).iterdir() if path.name != "__pycache__"}
    assert found == {
        "sitecustomize.py",
        "trading_graph_bootstrap.py",
        "trading_graph_witness-1.dist-info",
    }


def test_opentelemetry_instrument_finds_both_ways_in(tmp_path: Path) -> None:
    """In the folder for programs that are recorded, and in an installation for any other."""
    group = "opentelemetry_pre_instrument"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (place,) = project["entry-points"][group].values()
    assert pkgutil.resolve_name(place) is start.start_beside_instrument
    (folder,) = importlib.metadata.distributions(path=[start.BOOTSTRAP])
    (entry,) = folder.entry_points.select(group=group)
    assert entry.value == "trading_graph_bootstrap:start_beside_instrument"


def test_under_opentelemetry_instrument_spans_are_recorded_once(tmp_path: Path) -> None:
    """Its own sitecustomize stands in front, and ours never runs."""
    write(tmp_path, {"app.py": API_ONLY})
    launch = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    done = witnessed(tmp_path, "-c", launch, sys.executable, "app.py")
    assert done.returncode == 0, done.stderr
    assert names(traces(tmp_path)) == ["call"]


INSTRUMENTOR = """
from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor


class Instrumentor(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return ["fakelib >= 1"]

    def _instrument(self, tracer_provider=None, **settings):
        import fakelib

        tracer = trace.get_tracer("fake", tracer_provider=tracer_provider)
        self.original = original = fakelib.call

        def call():
            with tracer.start_as_current_span("call"):
                return original()

        fakelib.call = call

    def _uninstrument(self, **settings):
        import fakelib

        fakelib.call = self.original
"""


def install_fake(folder: Path, *, version: str = "1.0") -> str:
    """A library and an instrumentor for it, as installed; returns the folder for the path."""
    requires = "Requires-Dist: fake-lib.x>=1; extra == 'instruments'\n"
    head = "Metadata-Version: 2.1\nVersion: {}\nName: {}\n"
    write(
        folder / "site",
        {
            "fakelib/__init__.py": "def call(): return 42",
            "fake_lib_x-1.0.dist-info/METADATA": head.format("1.0", "fake-lib.x"),
            "fake_lib_x-1.0.dist-info/RECORD": "fakelib/__init__.py,,\nfakelib/a/__init__.py,,\n",
            f"fakelib-{version}.dist-info/METADATA": head.format(version, "fakelib"),
            "fake_instrumentor.py": INSTRUMENTOR,
            "fake_instr-1.0.dist-info/METADATA": head.format("1.0", "fake-instr") + requires,
            "fake_instr-1.0.dist-info/entry_points.txt": "[opentelemetry_instrumentor]\n"
            "fake = fake_instrumentor:Instrumentor\n",
        },
    )
    return str(folder / "site")


@pytest.mark.parametrize("chosen", ["auto", "fake", "fake-instr", "none", "other"])
def test_an_instrumentor_is_loaded_when_its_library_is_imported(
    tmp_path: Path, chosen: str
) -> None:
    program = (
        "import sys\nprint('fake_instrumentor' in sys.modules)\nimport fakelib\n"
        "print('fake_instrumentor' in sys.modules, fakelib.call())"
    )
    path = install_fake(tmp_path)
    is_loaded = chosen not in ("none", "other")
    printed = run(tmp_path, program, path=path, **{start.INSTRUMENT: chosen})
    assert printed == f"False\n{is_loaded} 42\n"
    assert names(traces(tmp_path)) == (["call"] if is_loaded else [])
    assert said(tmp_path, Note.INSTRUMENTED) == ([("fake", "fake-instr")] if is_loaded else [])


@pytest.mark.parametrize("first", ["import fakelib", "import fake_instrumentor"])
def test_a_program_that_instruments_itself_has_its_way(tmp_path: Path, first: str) -> None:
    """Its provider gets the spans, each once, and nothing warns."""
    program = (
        first
        + OWN_PROVIDER
        + (
            "from fake_instrumentor import Instrumentor\n"
            "Instrumentor().instrument(tracer_provider=provider)\n"
            "import fakelib\nfakelib.call()\nprint(len(exporter.get_finished_spans()))\n"
            "Instrumentor().uninstrument()\nfakelib.call()\nprint(len(exporter.get_finished_spans()))"
        )
    )
    path = install_fake(tmp_path)
    assert run(tmp_path, program, path=path, **{start.INSTRUMENT: "auto"}) == "1\n1\n"
    assert names(traces(tmp_path)) == ["call"]


def test_a_conflict_of_versions_is_noted_and_not_logged(tmp_path: Path) -> None:
    path = install_fake(tmp_path, version="0.5")
    program = "import fakelib; print(fakelib.call())"
    assert run(tmp_path, program, path=path, **{start.INSTRUMENT: "auto"}) == "42\n"
    ((name, distribution, why),) = said(tmp_path, Note.NOT_INSTRUMENTED)
    assert (name, distribution) == ("fake", "fake-instr")
    assert "fakelib" in why


def test_a_library_that_makes_its_own_spans_is_asked_for_them(tmp_path: Path) -> None:
    library = (
        "class Agent:\n    asked = 0\n    @classmethod\n"
        "    def instrument_all(cls):\n        cls.asked += 1\n"
    )
    write(tmp_path, {"pydantic_ai/__init__.py": library})
    program = "import pydantic_ai; print(pydantic_ai.Agent.asked)"
    assert run(tmp_path, program) == "0\n"
    assert run(tmp_path, program, **{start.INSTRUMENT: "auto"}) == "1\n"


TASKS = """
import asyncio, json


async def fetch(number):
    await asyncio.sleep(0)
    if number == 2:
        raise ValueError("no")
    await asyncio.wait_for(asyncio.sleep(0), 9)  # a coroutine of the standard library


async def crunch():
    task = asyncio.current_task()
    assert asyncio.iscoroutine(task.get_coro())
    assert task.get_coro().__qualname__ == "crunch"
    assert task.get_coro().cr_code is crunch.__code__
    await asyncio.gather(fetch(1), fetch(2), return_exceptions=True)


async def for_ever():
    await asyncio.Event().wait()


async def never_starts():
    pass


async def main():
    await asyncio.gather(crunch(), crunch())
    cancelled = asyncio.create_task(for_ever())
    await asyncio.sleep(0)
    cancelled.cancel()
    early = asyncio.create_task(never_starts())
    early.cancel()
    await asyncio.gather(cancelled, early, return_exceptions=True)
    loop = asyncio.get_running_loop()
    loop.set_task_factory(lambda loop, coro: asyncio.Task(coro, loop=loop))
    await asyncio.create_task(fetch(3))


asyncio.run(main())
"""


def test_tasks_are_spans_below_the_task_that_made_them(tmp_path: Path) -> None:
    assert run(tmp_path, TASKS, **{start.SPANS: "tasks"}) == ""
    (table,) = traces(tmp_path)
    spans = {span["spanId"]: span for span in raw_spans(tmp_path)}
    edges = sorted(
        (spans[span["parentSpanId"]]["name"] if "parentSpanId" in span else "", span["name"])
        for span in spans.values()
    )
    assert edges == [
        ("", "main"),
        *[("crunch", "fetch")] * 4,
        *[("main", "crunch")] * 2,
        ("main", "fetch"),
        ("main", "for_ever"),
        ("main", "never_starts"),
    ]
    errors = sorted(
        (span["name"], each["value"]["stringValue"])
        for span in spans.values()
        for each in span["attributes"]
        if each["key"] == "error.type"
    )
    assert errors == [
        *[("fetch", "ValueError")] * 2,
        ("for_ever", "cancelled"),
        ("never_starts", "cancelled"),
    ]
    assert len(table) == len(spans)


def raw_spans(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for file in (folder / "out").glob(start.SPAN_FILES):
        for line in file.read_text().splitlines():
            found += json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return found


def test_a_task_is_over_when_its_coroutine_is(tmp_path: Path) -> None:
    """Of tasks that block the loop in turn, each span ends before the next one starts."""
    program = (
        "import asyncio, time\nasync def block(): time.sleep(0.02)\n"
        "async def main(): await asyncio.gather(*(block() for _ in range(4)))\nasyncio.run(main())"
    )
    run(tmp_path, program, **{start.SPANS: "tasks"})
    blocks = sorted(
        (int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]))
        for span in raw_spans(tmp_path)
        if span["name"] == "block"
    )
    assert len(blocks) == 4
    assert all(end <= start for (_, end), (start, _) in pairwise(blocks))
