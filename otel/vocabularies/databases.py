"""OpenTelemetry's conventions for database clients, old and new.

https://opentelemetry.io/docs/specs/semconv/database/database-spans/
"""

from trading_graph.otel.vocabularies.vocabulary import Role, Vocabulary, by_presence

DATABASES = Vocabulary(signs=by_presence(Role.DATABASE, "db.system.name", "db.system"))
