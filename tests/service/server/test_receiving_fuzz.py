"""Any body whatever: it is refused or taken, never a 500, and what is taken can be read."""

import json
import re
import struct
import tempfile
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import examples
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


_PIECES = [b"\xff" * 9, b"\x0a\x00", struct.pack("<Q", 2**64 - 1), b"\x00", b'"', b"{", b"9" * 30]
_WORD = re.compile(rb'"[^"]*"(\s*:)?|-?\d+')
_NAMES = [
    *(
        b"stringValue intValue doubleValue arrayValue kvlistValue bytesValue key value values"
    ).split(),
    *(b"attributes events links status flags kind traceId parentSpanId resource scope").split(),
]
_JSON_VALUES = [
    *(b"null true -1 0 1e999 99999999999999999999 [] {} [{}] [null]").split(),
    *(b'"" "NaN" "-1" "\\ud800" "AAAAAAAAAAA=" "' + b"0" * 32 + b'" "' + b"f" * 16 + b'"').split(),
    *(b'{"values":[{}]} {"values":null} {"key":"a"} {"stringValue":1} {"intValue":"7"}').split(),
]


def changed(valid: bytes, chance: Random) -> bytes:
    """A body of which some bytes or words are changed, cut out, repeated or put in."""
    body = bytearray(valid)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 6))):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(12):
            case 0:
                del body[at : at + chance.randint(1, 30)]
            case 1:
                body[at:at] = body[at : at + chance.randint(1, 60)]
            case 2:
                body[at:at] = chance.choice(_PIECES)
            case 3 | 4 | 5 if at < len(body):
                body[at] = chance.randrange(256)
            case _ if word := _WORD.search(body, at):
                name = b'"' + chance.choice(_NAMES) + b'":'
                body[word.start() : word.end()] = name if word[1] else chance.choice(_JSON_VALUES)
            case _ if at < len(body):
                body[at] ^= 1 << chance.randrange(8)
    return bytes(body)


_CHANCE = st.integers(0, 2**32).map(Random)


def _changed(valid: bytes) -> st.SearchStrategy[bytes]:
    return st.builds(changed, st.just(valid), _CHANCE)


BODIES = st.one_of(
    st.tuples(st.just(JSON), _JSON | _changed(VALID_JSON) | st.binary(max_size=200)),
    st.tuples(st.just(PROTOBUF), _changed(VALID_PROTOBUF) | st.binary(max_size=200)),
)
Sent = tuple[Encoding, bytes]


def take(folder: Path, bodies: Iterable[Sent]) -> int:
    """Record bodies; gives how many were taken. Any other error than the two that refuse is one."""
    ledger, taken = opened(folder), 0
    for encoding, body in bodies:
        try:
            recorded = ledger.record(Body(body, "identity", encoding))
        except (MalformedMessageError, MessageTooLargeError):
            continue
        taken += bool(recorded.traces)
    again = opened(folder)
    for path in folder.glob("growing/*"):
        (trace,) = read(path)
        assert trace.trace_id == path.stem
        assert len(trace)
        assert again.take_up(path.stem).spans == len(trace), "a restart sees the same"
    return taken


def opened(folder: Path) -> Ledger:
    """The ledger of a folder."""
    ledger = Ledger(TraceFiles(folder), LIMITS, Redactor((), environment={}))
    ledger.open()
    return ledger


@given(BODIES)
@settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
def test_any_body_is_taken_or_refused(body: Sent) -> None:
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder), [body])


BASES, CHANGES = 10, 10


@pytest.mark.full
@pytest.mark.timeout(1_800)
@given(st.lists(BODIES, min_size=BASES, max_size=BASES), _CHANCE)
@settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_hundred_thousand_bodies_are_taken_or_refused(bodies: list[Sent], chance: Random) -> None:
    """Bodies that hypothesis finds, and each changed at random, which takes a hundredth of that."""
    more = [(kind, changed(body, chance)) for kind, body in bodies for _ in range(CHANGES)]
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder), [*bodies, *more])


def test_what_is_changed_at_random_is_taken_and_refused_both(tmp_path: Path) -> None:
    """So that the bodies reach what is behind the first check."""
    for number, (kind, valid) in enumerate(((JSON, VALID_JSON), (PROTOBUF, VALID_PROTOBUF))):
        bodies = [(kind, changed(valid, Random(seed))) for seed in range(200)]
        assert 5 < take(tmp_path / str(number), bodies) < 180


def test_the_valid_bodies_are_taken(tmp_path: Path) -> None:
    bodies: list[Sent] = [(JSON, VALID_JSON), (PROTOBUF, VALID_PROTOBUF)]
    assert take(tmp_path, bodies) == 2


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate"]))
@settings(max_examples=examples(200), deadline=None)
def test_any_packed_body_is_unpacked_or_refused(body: bytes, encoding: str) -> None:
    for head in (b"", b"\x1f\x8b\x08\x00", b"\x78\x9c"):
        try:
            unpacked(head + body, encoding, 1000)
        except (MalformedMessageError, MessageTooLargeError):
            continue
