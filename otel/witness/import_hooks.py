"""Calls functions when a module has been imported, or at once where it has been already.

So the witness costs a program nothing of what it does not use.
"""

from __future__ import annotations

import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Hook = Callable[[ModuleType], None]


class ImportHooks:
    """A finder on `sys.meta_path` that finds nothing itself, and calls hooks after an import.

    Each hook is called once, in the order of registration. What it raises goes to `on_failure`, and
    never to the program.
    """

    def __init__(self, on_failure: Callable[[str, Exception], None]) -> None:
        self._hooks: dict[str, list[Hook]] = {}
        self._on_failure = on_failure
        self._searched: set[tuple[int, str]] = set()

    def add(self, name: str, hook: Hook) -> None:
        """Call the hook with the module of that name once it has been imported."""
        module = sys.modules.get(name)
        self._hooks.setdefault(name, []).append(hook)
        if module is not None:
            self._call(name, module)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that the other finders have for a module with hooks; None for any other."""
        searched = (get_ident(), name)
        if name not in self._hooks or searched in self._searched:
            return None  # The second is another finder that asks all finders, as this one does.
        self._searched.add(searched)
        try:
            return self._find(name, path, target)
        finally:
            self._searched.discard(searched)

    def _find(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        for finder in tuple(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Watched(spec.loader, self._call)  # type: ignore[assignment]
                return spec
        return None

    def _call(self, name: str, module: ModuleType) -> None:
        for hook in self._hooks.pop(name, ()):
            try:
                hook(module)
            except Exception as error:
                self._on_failure(name, error)


class _Watched:
    """A loader that does what another one does, and then calls the hooks."""

    def __init__(self, loader: Any, done: Callable[[str, ModuleType], None]) -> None:
        self._loader = loader
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module as if only its own loader were there."""
        # What inspect and importlib.resources read.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._done(module.__name__, module)
