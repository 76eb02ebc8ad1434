"""Replaces methods of other modules, now or when these are imported, and takes all of it back."""

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from trading_graph.otel.witness.faults import faults
from trading_graph.otel.witness.import_hooks import ImportHooks

Method = Callable[..., Any]

_MISSING = object()


class Patches:
    """Replaced methods, in the order in which they were replaced."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, object, object]] = []
        self._hooks: Any = ImportHooks(_note)

    def replace(self, owner: Any, name: str, make: Callable[[Method], Method]) -> None:
        """Replace a method of a class, or a function of a module, by what `make` makes of it.

        An owner without it stays as it is.
        """
        original = getattr(owner, name, None)
        if original is None:
            return
        own = owner.__dict__.get(name, _MISSING)
        replacement: Any = functools.wraps(original)(make(original))
        if isinstance(own, classmethod | staticmethod):
            replacement = staticmethod(replacement)  # `original` is bound already
        setattr(owner, name, replacement)
        self._replaced.append((owner, name, own, owner.__dict__[name]))

    def when_imported(self, module: str, apply: Callable[[ModuleType], None]) -> None:
        """Call `apply` with a module: now if it is loaded, or else right after its import."""
        if self._hooks not in sys.meta_path:
            sys.meta_path.insert(0, self._hooks)
        self._hooks.add(module, apply)

    def restore(self) -> None:
        """Put every method back; one that somebody else has replaced since keeps its wrapper."""
        for owner, name, own, replacement in reversed(self._replaced):
            if owner.__dict__.get(name) is not replacement:
                continue
            if own is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, own)
        self._replaced.clear()
        if self._hooks in sys.meta_path:
            sys.meta_path.remove(self._hooks)
        self._hooks = ImportHooks(_note)


def _note(_: str, error: Exception) -> None:
    faults.note(error)  # Another version of a library may lack what is patched.
