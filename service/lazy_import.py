"""The one way to import what only some calls need, when it is called for."""

import importlib
from typing import Any

from trading_graph.otel.gc_pause import pause_collection


def load(place: str) -> Any:
    """What a `module:attribute` of this package names."""
    module, _, attribute = place.partition(":")
    with pause_collection():
        return getattr(importlib.import_module(f"trading_graph.service.{module}"), attribute)
