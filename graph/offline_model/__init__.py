"""The offline model: a chat-completions server on loopback that answers by published rules.

`docs/offline-model.md` states the rules.
"""

from trading_graph.graph.offline_model.server import OfflineModel

__all__ = ["OfflineModel"]
