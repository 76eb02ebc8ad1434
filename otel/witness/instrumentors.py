"""Loads each installed OpenTelemetry instrumentor when the library that it is for is imported.

Loading all of them first takes a second, and hides what the program's own imports cost. The
installed ones are found by reading files and no more: `importlib.metadata` takes longer than the
whole search.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from trading_graph.otel.witness.import_hooks import ImportHooks
from trading_graph.otel.witness.process_notes import Note, ProcessNotes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from types import ModuleType
    from typing import Any

_GROUP = "[opentelemetry_instrumentor]"
_NO_TARGETS = frozenset({"tests", "test", "docs", "examples", "scripts"})
_MAKES_NO_SPANS = frozenset({"logging", "system_metrics"})
_BUILT_IN = {"pydantic_ai": ("Agent", "instrument_all")}
"""Libraries that make spans themselves once they are asked: what is called."""


class Instrumentor:
    """An installed instrumentor: where it is, and the modules at whose import it is loaded."""

    __slots__ = ("distribution", "name", "place", "targets")

    def __init__(self, name: str, place: str, distribution: str, targets: tuple[str, ...]) -> None:
        self.name = name
        self.place = place
        self.distribution = distribution
        self.targets = targets

    def answers_to(self, names: Collection[str]) -> bool:
        """Whether it is named, by its own name or that of its distribution."""
        return self.name in names or normal(self.distribution) in {normal(each) for each in names}


def normal(distribution: str) -> str:
    """The name of a distribution as its folder spells it."""
    return distribution.lower().replace("-", "_").replace(".", "_")


def installed(path: Sequence[str]) -> list[Instrumentor]:
    """The instrumentors on a search path, ordered by distribution."""
    folders = dict(_distributions(path))
    instrumentors = []
    for distribution, folder in sorted(folders.items()):
        entries = _read(os.path.join(folder, "entry_points.txt"))
        if _GROUP not in entries:
            continue
        targets = _targets(_read(os.path.join(folder, "METADATA")), folders)
        for name, place in _entries(entries):
            own = targets or ((name,) if name in sys.stdlib_module_names else ())
            instrumentors.append(
                Instrumentor(name, place, distribution.replace("_", "-"), tuple(own))
            )
    return instrumentors


def _distributions(path: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The installed distributions and their folders; the first on the path comes last."""
    for entry in reversed(path):
        try:
            names = os.listdir(entry or ".")
        except OSError:
            continue
        for name in names:
            if name.endswith(".dist-info"):
                yield normal(name.split("-", 1)[0]), os.path.join(entry, name)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _entries(text: str) -> Iterator[tuple[str, str]]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line
        elif section == _GROUP and "=" in line:
            name, _, place = line.partition("=")
            yield name.strip(), place.split("[")[0].strip()


def _targets(metadata: str, folders: dict[str, str]) -> tuple[str, ...]:
    """The modules of the libraries that it says it is for, as far as these are installed."""
    names = dict.fromkeys(filter(None, map(_target, metadata.splitlines())))
    return tuple(
        module for name in names if name in folders for module in _modules(name, folders[name])
    )


def _target(line: str) -> str:
    """The distribution that a line requires under the extra that names what is instrumented."""
    field, _, requirement = line.partition(":")
    specifier, _, marker = requirement.partition(";")
    if field != "Requires-Dist" or "extra" not in marker or "instruments" not in marker:
        return ""
    specifier = specifier.strip()
    end = next((at for at, each in enumerate(specifier) if each in " <>=!~[("), len(specifier))
    return normal(specifier[:end])


def _modules(name: str, folder: str) -> Iterable[str]:
    """The modules of a distribution: the one of its name, or those that stand highest in it."""
    beside = os.path.join(os.path.dirname(folder), name)
    if os.path.isdir(beside) or os.path.isfile(beside + ".py"):
        return (name,)
    files = [line.split(",")[0] for line in _read(os.path.join(folder, "RECORD")).splitlines()]
    packages = [parts[:-1] for each in files if (parts := each.split("/"))[-1] == "__init__.py"]
    highest = min((len(each) for each in packages), default=0)
    return sorted(
        {".".join(each) for each in packages if len(each) == highest and each} - _NO_TARGETS
    )


def load_on_import(
    chosen: Callable[[Instrumentor], bool], hooks: ImportHooks, notes: ProcessNotes
) -> None:
    """Load the chosen instrumentors when their libraries are imported.

    Of several with one name only the first is loaded: two for one library record each call twice.
    """
    names: dict[str, str] = {}
    for each in installed(sys.path):
        if each.name in _MAKES_NO_SPANS or not chosen(each):
            continue
        first = names.setdefault(each.name, each.distribution)
        if first != each.distribution:
            notes.add(Note.LEFT_OUT, each.name, each.distribution, f"{first} is used")
            continue
        if not each.targets:
            continue
        load = _Loading(each, notes)
        for target in each.targets:
            hooks.add(target, load)
    for module, path in _BUILT_IN.items():
        built_in = Instrumentor(module, ".".join(path), module.replace("_", "-"), (module,))
        if chosen(built_in):
            hooks.add(module, _BuiltIn(built_in, notes))


class _Loading:
    """Loads an instrumentor once, whichever of its modules is imported first."""

    def __init__(self, instrumentor: Instrumentor, notes: ProcessNotes) -> None:
        self._instrumentor = instrumentor
        self._notes = notes
        self._is_done = False

    def __call__(self, module: ModuleType) -> None:
        if self._is_done:
            return
        self._is_done = True
        name, distribution = self._instrumentor.name, self._instrumentor.distribution
        try:
            is_ours = _instrument(self._instrumentor.place)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self._notes.add(Note.NOT_INSTRUMENTED, name, distribution, reason)
            return
        if is_ours:
            self._notes.add(Note.INSTRUMENTED, name, distribution)
        else:
            self._notes.add(Note.LEFT_OUT, name, distribution, "the program does it itself")


def _instrument(place: str) -> bool:
    """Load the instrumentor of an entry point, unless the program does so itself."""
    where, _, path = place.partition(":")
    kind: Any = import_module(where)
    for part in path.split("."):
        kind = getattr(kind, part)
    instance = kind()
    if getattr(instance, "is_instrumented_by_opentelemetry", False) or _is_at_it(instance):
        return False
    # Else a conflict of versions is an error in the program's log.
    instance.instrument(raise_exception_on_conflict=True)
    _give_way(instance)
    return True


def _is_at_it(instance: Any) -> bool:
    """Whether the program is about to instrument, and imports the library meanwhile."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_name == "instrument" and frame.f_locals.get("self") is instance:
            return True
    return False


def _give_way(instance: Any) -> None:
    """Undo it where the program instruments the library itself: it may name its own provider."""

    def instrument(*args: Any, **settings: Any) -> Any:
        del instance.instrument
        instance.uninstrument()
        return instance.instrument(*args, **settings)

    instance.instrument = instrument


class _BuiltIn:
    """Asks a library for the spans that it makes itself."""

    def __init__(self, library: Instrumentor, notes: ProcessNotes) -> None:
        self._library = library
        self._notes = notes

    def __call__(self, module: ModuleType) -> None:
        target: Any = module
        for part in self._library.place.split("."):
            target = getattr(target, part)
        target()
        self._notes.add(Note.INSTRUMENTED, self._library.name, "built in")
