"""OpenTelemetry's conventions for HTTP, old and new.

https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from trading_graph.otel.vocabularies.values import Attributes, first_whole
from trading_graph.otel.vocabularies.vocabulary import Reader, Role, Vocabulary, by_presence

_STATUSES = ("http.response.status_code", "http.status_code")
_RESENDS = ("http.request.resend_count", "http.resend_count")

HTTP = Vocabulary(signs=by_presence(Role.HTTP, "http.request.method", "http.method"))


def _http_status(attributes: Attributes) -> int | None:
    return first_whole(attributes, _STATUSES)


def _resend_count(attributes: Attributes) -> int:
    return max(first_whole(attributes, _RESENDS) or 0, 0)


http_status = Reader(_http_status, _STATUSES, None)
"""The status code of an answer over HTTP, or None."""
resend_count = Reader(_resend_count, _RESENDS, 0)
"""How many times the request was sent before this time; 0 where nothing is said."""
