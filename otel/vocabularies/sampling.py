"""What samplers write on the spans that they keep: that others were left out.

OpenTelemetry's probability sampling (the key `ot` of the trace state), Honeycomb, Jaeger's clients,
Datadog, and the collector's samplers.
"""

import re

from trading_graph.otel.vocabularies.values import Attributes, finite
from trading_graph.otel.vocabularies.vocabulary import Reader

TRACE_STATE = "tracestate"
"""The trace state of a span, where it names a threshold."""

_THRESHOLD = re.compile(r"(?:^|,)\s*ot=(?:[^,]*;)?(?:th:(?!0*(?:$|[;,]))|p:(?!0(?:$|[;,])))")
_RATES = ("SampleRate", "sampleRate", "sample_rate", "sampling.rate")
"""One of so many was kept."""
_SHARES = ("sampling.probability", "_dd.agent_psr", "_sample_rate", "_dd1.sr.eausr")
"""This share was kept."""
_TYPE = "sampler.type"
_TYPES = ("probabilistic", "ratelimiting", "lowerbound")


def _is_sampled(attributes: Attributes) -> bool:
    if any((finite(attributes.get(key)) or 0) > 1 for key in _RATES):
        return True
    if any(0 < (finite(attributes.get(key)) or 0) < 1 for key in _SHARES):
        return True
    if attributes.get(_TYPE) in _TYPES:
        return (finite(attributes.get("sampler.param")) or 0) != 1
    state = attributes.get(TRACE_STATE)
    return isinstance(state, str) and bool(_THRESHOLD.search(state))


is_sampled = Reader[bool](_is_sampled, {*_RATES, *_SHARES, _TYPE, TRACE_STATE}, otherwise=False)
"""Whether a sampler says on a span that it left others out."""
