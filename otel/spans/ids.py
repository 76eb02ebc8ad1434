"""Trace ids that are UUIDv7, so that one id names a run in every backend.

A UUIDv7 is a valid W3C trace id whose low bits are random (RFC 9562, section 5.7), and it is what
LangSmith wants as a run id.
"""

import os
import random
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from opentelemetry.sdk.trace.id_generator import IdGenerator

# The SDK's generator draws from the global `random`: seeding that twice gave the same id twice. Of
# its own, and not the system's: that is asked once, not for every span.
_random = random.Random()
os.register_at_fork(after_in_child=_random.seed)


def uuid7() -> uuid.UUID:
    """A time-ordered UUID of version 7 from the wall clock and 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76 | _random.getrandbits(12) << 64
    value |= 0b10 << 62 | _random.getrandbits(62)
    return uuid.UUID(int=value)


@dataclass(frozen=True, slots=True)
class Identity:
    """Ids that a span is to have: its trace's where it is a root, and its own where that is
    known.
    """

    trace_id: int
    span_id: int | None = None


_dictated: ContextVar[Identity | None] = ContextVar("dictated_identity", default=None)


@contextmanager
def dictated(identity: Identity | None) -> Iterator[None]:
    """Make the next span of this context take the given ids, if any are given."""
    token = _dictated.set(identity)
    try:
        yield
    finally:
        _dictated.reset(token)


class UUIDv7IdGenerator(IdGenerator):
    """Makes UUIDv7 trace ids and random span ids."""

    def generate_trace_id(self) -> int:
        """A 128-bit trace id that is a UUIDv7: the dictated one, or a new one."""
        known = _dictated.get()
        return known.trace_id if known else uuid7().int

    def generate_span_id(self) -> int:
        """A non-zero 64-bit span id: the dictated one, or a new one."""
        known = _dictated.get()
        return (known.span_id if known else None) or _random.getrandbits(64) or 1

    def is_trace_id_random(self) -> bool:
        """The low 56 bits are random, as W3C trace context level 2 asks for the flag."""
        return True
