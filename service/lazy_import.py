"""The one way to import what only some calls need, when it is called for."""

import importlib
from typing import Any

from trading_graph.otel.gc_pause import pause_collection


def load(place: str) -> Any:
    """What a `module` or a `module:attribute` of `trading_graph` names."""
    name, _, attribute = place.partition(":")
    with pause_collection():
        module = importlib.import_module(f"trading_graph.{name}")
    return getattr(module, attribute) if attribute else module
