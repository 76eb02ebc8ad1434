"""OpenTelemetry's conventions for remote procedure calls, old and new.

https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_presence

RPC = Vocabulary(signs=by_presence(Role.RPC, "rpc.system.name", "rpc.system"))
