"""What the tests of the toolkit share: a faulty source, and spans that are kept in memory."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.toolkit.faulty_source import FaultySource
from tests.toolkit.spans_in_memory import provider_for
from trading_graph.toolkit.loopback import LoopbackServer


@pytest.fixture
def source() -> Iterator[FaultySource]:
    source = FaultySource()
    with LoopbackServer(source.make_app) as server:
        source.url = server.url
        yield source


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter: InMemorySpanExporter) -> TracerProvider:
    return provider_for(exporter)
