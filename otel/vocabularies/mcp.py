"""OpenTelemetry's conventions for the Model Context Protocol.

https://opentelemetry.io/docs/specs/semconv/gen-ai/mcp/
"""

from trading_graph.otel.vocabularies.values import Attributes
from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary

_METHOD = "mcp.method.name"


def _role(attributes: Attributes) -> Role:
    # Every other method, such as tools/list, is a plain call of the server.
    return Role.TOOL if attributes[_METHOD] == "tools/call" else Role.RPC


MCP = Vocabulary(kinds={_METHOD: _role}, tool_names=("mcp.tool.name",))
