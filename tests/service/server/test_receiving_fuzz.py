"""Any body whatever: it is refused or taken, never a 500, and what is taken can be read."""

import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.foreign_program import ForeignProgram
from tests.service.server.otlp_client import message, protobuf, root, span
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.sources import read
from trading_graph.service.server.receiving.batches import unpacked
from trading_graph.service.server.receiving.errors import (
    MalformedMessageError,
    MessageTooLargeError,
)
from trading_graph.service.server.receiving.ledger import Body, Ledger, ReceiverLimits
from trading_graph.service.server.receiving.message import JSON, Encoding
from trading_graph.service.server.receiving.protobuf import PROTOBUF
from trading_graph.service.server.receiving.trace_files import TraceFiles

LIMITS = ReceiverLimits(settle_s=1, keep_s=1e6, kept=2**30, traces=10**6, trace=2**20)
VALID_PROTOBUF = protobuf(ForeignProgram("sender").trace())
VALID_JSON = json.dumps(message(root(declared=2), span(2, 1))).encode()

_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**65), 2**65),
        st.floats(),
        st.text(max_size=40),
        st.sampled_from(["NaN", "1e999", "0" * 32, "f" * 16, "AAAAAAAAAAA="]),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["values", "stringValue", "key", "value"]), inner)
    ),
    max_leaves=6,
)
_FIELDS = st.sampled_from([*root(), "events", "links", "status", "flags", "kind", "traceState"])
_SPANS = st.builds(
    lambda base, more: {**base, **more}, st.just(root()), st.dictionaries(_FIELDS, _VALUES)
)
_JSON = st.builds(lambda spans: json.dumps(message(*spans)).encode(), st.lists(_SPANS, max_size=3))


@st.composite
def _mutated(draw: Callable[[Any], Any], valid: bytes) -> bytes:
    """A valid body of which some bytes are changed, cut out or repeated."""
    body = bytearray(valid)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(body) - 1, 0)))
        match draw(st.integers(0, 3)):
            case 0 if body:
                body[at] = draw(st.integers(0, 255))
            case 1:
                del body[at : at + draw(st.integers(1, 30))]
            case 2:
                body[at:at] = body[at : at + draw(st.integers(1, 60))]
            case _:
                body[at:at] = draw(st.sampled_from(_PIECES))
    return bytes(body)


_PIECES = [b"\xff" * 9, b"\x0a\x00", struct.pack("<Q", 2**64 - 1), b"\x00", b'"', b"{", b"9" * 30]
BODIES = st.one_of(
    st.tuples(st.just(JSON), _JSON | _mutated(VALID_JSON) | st.binary(max_size=200)),
    st.tuples(st.just(PROTOBUF), _mutated(VALID_PROTOBUF) | st.binary(max_size=200)),
)
Sent = tuple[Encoding, bytes]


def take(folder: Path, bodies: list[Sent]) -> int:
    """Record bodies; gives how many were taken. Any other error than the two that refuse is one."""
    ledger, taken = Ledger(TraceFiles(folder), LIMITS, Redactor((), environment={})), 0
    ledger.open()
    for encoding, body in bodies:
        try:
            recorded = ledger.record(Body(body, "identity", encoding))
        except (MalformedMessageError, MessageTooLargeError):
            continue
        taken += bool(recorded.traces)
    for path in folder.glob("growing/*"):
        (trace,) = read(path)
        assert trace.trace_id == path.stem
        assert len(trace)
        again = Ledger(TraceFiles(folder), LIMITS, Redactor((), environment={}))
        assert again.take_up(path.stem).spans == len(trace), "a restart sees the same"
    return taken


@given(BODIES)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_body_is_taken_or_refused(body: Sent) -> None:
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder), [body])


@pytest.mark.full
@pytest.mark.timeout(1_800)
@given(st.lists(BODIES, min_size=20, max_size=20))
@settings(max_examples=5_500, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_hundred_thousand_bodies_are_taken_or_refused(bodies: list[Sent]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder), bodies)


def test_the_valid_bodies_are_taken(tmp_path: Path) -> None:
    bodies: list[Sent] = [(JSON, VALID_JSON), (PROTOBUF, VALID_PROTOBUF)]
    assert take(tmp_path, bodies) == 2


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
@settings(max_examples=200, deadline=None)
def test_any_packed_body_is_unpacked_or_refused(body: bytes, encoding: str) -> None:
    for head in (b"", b"\x1f\x8b\x08\x00", b"\x78\x9c"):
        try:
            unpacked(head + body, encoding, 1000)
        except (MalformedMessageError, MessageTooLargeError):
            continue
