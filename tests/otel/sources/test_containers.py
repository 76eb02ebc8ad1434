"""gzip, zstd and UTF-16 around a trace, and what pretends to be one of them."""

import gzip
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from tests.otel.sources.forms.every_form import FORMS
from trading_graph.otel.errors import TraceError
from trading_graph.otel.sources import containers, parse, trace_files
from trading_graph.otel.sources.containers import unpack

OTLP = FORMS["OTLP"]
PACKED = {
    "gzip": gzip.compress(OTLP),
    "zstd": zstandard.compress(OTLP),
    "zstd without its size": zstandard.ZstdCompressor(write_content_size=False).compress(OTLP),
    "two members": gzip.compress(OTLP[:100]) + gzip.compress(OTLP[100:]),
    "two frames": zstandard.compress(OTLP[:100]) + zstandard.compress(OTLP[100:]),
    "one in the other": gzip.compress(zstandard.compress(OTLP)),
    "gzip of protobuf": gzip.compress(FORMS["OTLP protobuf"]),
    "UTF-16": OTLP.decode().encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + OTLP.decode().encode("utf-16-be"),
    "UTF-8 with its mark": b"\xef\xbb\xbf" + OTLP,
}


@pytest.mark.parametrize("name", PACKED)
def test_what_is_packed_is_read(name: str) -> None:
    (trace,) = parse(PACKED[name], name)
    assert len(trace) == 5


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_refused_at_the_limit(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_files, "MAX_BYTES", 2**20)
    bomb = pack(bytes(2**26))
    assert len(bomb) < 2**20
    with pytest.raises(TraceError, match=r"^bomb is too large: more than .* come out of its"):
        parse(bomb, "bomb")


def test_a_piece_gives_little_at_once() -> None:
    """The limit is looked at before much more than it is in memory."""
    bomb = zstandard.compress(bytes(2**30))
    first = next(containers._zstd_parts(bomb, "bomb"))
    assert len(first) <= 2**27


@pytest.mark.parametrize("name", ["gzip", "zstd", "two members", "one in the other"])
def test_what_is_cut_off_or_damaged_is_one_sentence(name: str) -> None:
    whole, rng = PACKED[name], random.Random(7)
    for cut in (5, 10, len(whole) // 2, len(whole) - 9):
        with pytest.raises(TraceError, match=r"is (cut off|damaged)"):
            parse(whole[:cut], "x")
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.randrange(4, len(whole))] ^= 1 << rng.randrange(8)
        with suppress(TraceError):
            parse(bytes(damaged), "x")


def test_no_word_of_a_library_is_repeated() -> None:
    for content in (b"\x1f\x8b" + bytes(50), b"\x28\xb5\x2f\xfd" + bytes(50), b"\xff\xfe\x00\xd8x"):
        with pytest.raises(TraceError) as raised:
            unpack(content, "x", 100)
        words = str(raised.value).lower()
        assert not any(word in words for word in ("error", "incorrect", "invalid", "codec", "-3"))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setattr(sys, "version_info", (3, 12))
    with pytest.raises(TraceError, match=r"install trading-graph\[zstd\]"):
        parse(PACKED["zstd"], "x")


def test_one_file_may_be_packed_and_the_other_not(tmp_path: Path) -> None:
    spans = FORMS["OTLP, spans alone"]
    (tmp_path / "a.gz").write_bytes(gzip.compress(spans))
    (tmp_path / "b").write_bytes(spans)
    (trace,) = trace_files.read(tmp_path / "a.gz", tmp_path / "b")
    assert (len(trace), trace.repeated) == (5, 5)
