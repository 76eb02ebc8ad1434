"""What `record` says where no span was recorded: why, and what to type."""

from collections.abc import Iterable, Sequence
from shlex import quote

from trading_graph.otel.witness.libraries import AGENT_LIBRARIES, OTHER_LIBRARIES
from trading_graph.otel.witness.process_notes import Note, NotedProcess

_OLDEST = (3, 11)
_TASKS = "--spans tasks records its asyncio tasks"


NO_SIGN_OF_LIFE = (
    "No Python has started the witness: the program is not one of Python, or Python was started "
    "with -I, -E or -S, which keep it from doing so; leave these out."
)
"""Where no process has left notes."""


def is_watched(processes: Sequence[NotedProcess], *, with_libraries: bool = False) -> bool:
    """Whether the witness waits in one; `with_libraries`, in one that imported what it knows.

    Else that one may be a launcher, and not the program.
    """
    return any(
        each.said(Note.WATCHED) and (each.said(Note.IMPORTED) or not with_libraries)
        for each in processes
    )


def cannot_import(processes: Sequence[NotedProcess]) -> str | None:
    """Where a Python cannot import the witness, what to type; None where each can."""
    for each in processes:
        for python, missing in zip(
            each.said(Note.PYTHON), each.said(Note.CANNOT_IMPORT), strict=False
        ):
            return _of_python(python[1], python[2], *missing)
    return None


def _of_python(executable: str, version: str, missing: str, error: str) -> str:
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        return (
            f"The program runs on {executable}, which is Python {version}; the witness needs "
            f"Python {oldest} or newer."
        )
    why = "" if missing.partition(".")[0] == "trading_graph" else f" ({error})"
    return (
        f"The program's Python cannot import trading_graph{why}; type: {quote(executable)} -m pip "
        "install trading-graph"
    )


def no_spans(
    processes: Sequence[NotedProcess],
    *,
    failed: bool,
    is_disabled: bool,
    makes_tasks: bool,
    instrument: str,
) -> str:
    """Where the witness waited, and no span ended."""
    if any(each.said(Note.FAULT) for each in processes):
        return "No span was recorded, because the witness failed."
    if failed:
        return "No span was recorded before the program ended."
    if is_disabled:
        return (
            "No span was recorded: OTEL_SDK_DISABLED is set, and keeps all spans from being made."
        )
    if makes_tasks:
        return "No span was recorded: no asyncio task of the program ran."
    loaded = {words[0] for each in processes for words in each.said(Note.INSTRUMENTED)}
    imported = sorted({words[0] for each in processes for words in each.said(Note.IMPORTED)})
    libraries = AGENT_LIBRARIES if AGENT_LIBRARIES.keys() & imported else OTHER_LIBRARIES
    missing = [each for each in imported if each in libraries]
    if loaded:
        return (
            f"No span was recorded, although what makes spans of {_and(sorted(loaded))} was "
            f"loaded: nothing of that was called; {_TASKS}."
        )
    if not missing:
        return (
            "No span was recorded: the program makes none, and imports no library for which an "
            f"instrumentor is known; {_TASKS}."
        )
    if instrument != "auto":
        return (
            f"No span was recorded: --instrument {instrument} loads nothing that makes spans of "
            f"{_and(missing)}; --instrument auto loads what is installed, and {_TASKS}."
        )
    names = " ".join(dict.fromkeys(libraries[each] for each in missing))
    return (
        f"No span was recorded: nothing makes spans of {_and(missing)}; type: pip install {names} "
        f"(or {_TASKS})."
    )


def _and(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def faults(processes: Sequence[NotedProcess]) -> list[str]:
    """What of ours failed in the program, once each."""
    faults = [words for each in processes for words in each.said(Note.FAULT)]
    missing = [words for each in processes for words in each.said(Note.NOT_INSTRUMENTED)]
    return [
        *(f"The witness failed at {what}: {error}." for what, error in dict.fromkeys(faults)),
        *(f"{name} could not be loaded: {why}." for _, name, why in dict.fromkeys(missing)),
    ]
