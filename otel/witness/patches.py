"""Replaces methods of other modules, now or when these are imported, and takes all of it back."""

import functools
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from trading_graph.otel.witness.faults import faults

Method = Callable[..., Any]

_MISSING = object()


class Patches:
    """Replaced methods, in the order in which they were replaced."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, object, object]] = []
        self._finder = _Finder()

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
        if (loaded := sys.modules.get(module)) is not None:
            _apply(apply, loaded)
        else:
            self._finder.pending.setdefault(module, []).append(apply)
            if self._finder not in sys.meta_path:
                sys.meta_path.insert(0, self._finder)

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
        self._finder.pending.clear()
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)


class _Finder(MetaPathFinder):
    """Sees the imports of some modules and tells who waits for them."""

    def __init__(self) -> None:
        self.pending: dict[str, list[Callable[[ModuleType], None]]] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a pending module by the other finders, and have its loader call back."""
        if name not in self.pending:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    _call_back(spec.loader, self.pending.pop(name, []))
                return spec
        return None


def _call_back(loader: Loader, actions: list[Callable[[ModuleType], None]]) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        for apply in actions:
            _apply(apply, module)

    loader.exec_module = exec_module  # type: ignore[method-assign]


def _apply(apply: Callable[[ModuleType], None], module: ModuleType) -> None:
    try:
        apply(module)
    except Exception as error:  # Another version of a library may lack what is patched.
        faults.note(error)
