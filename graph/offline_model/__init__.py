"""The offline model: a chat-completions server on loopback that reasons by published rules.

`docs/offline-model.md` states the rules.
"""

from trading_graph.graph.offline_model.faults import Fault
from trading_graph.graph.offline_model.server import DEEP_MODEL, QUICK_MODEL, OfflineModel

__all__ = ["DEEP_MODEL", "QUICK_MODEL", "Fault", "OfflineModel"]
