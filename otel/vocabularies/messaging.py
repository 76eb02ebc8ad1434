"""OpenTelemetry's conventions for messaging.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_presence

MESSAGING = Vocabulary(signs=by_presence(Role.MESSAGING, "messaging.system"))
