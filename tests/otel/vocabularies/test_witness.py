"""What a process declares that it records, under the names of today and those of older files."""

from typing import Any

import pytest

from trading_graph.otel.vocabularies import witness
from trading_graph.otel.vocabularies.witness import Recorded


@pytest.mark.parametrize("prefix", ["new", "old"])
def test_measures_are_read_under_both_names(prefix: str) -> None:
    new = {
        "witness.loop.lag_max_ms": 1.5,
        "witness.cpu.over_wall": 0.5,
        "witness.wait_ms": 3,
        "witness.imports": 7,
        "witness.spans_started": 9,
    }
    old = {
        "trading.loop_lag_max_ms": 1.5,
        "trading.cpu_over_wall": 0.5,
        "trading.queue_wait_ms": 3,
        "trading.imports": 7,
        "trading.spans_started": 9,
    }
    attributes: dict[str, Any] = new if prefix == "new" else old
    assert witness.loop_lag_ms(attributes) == 1.5
    assert witness.cpu_over_wall(attributes) == 0.5
    assert witness.wait_ms(attributes) == 3
    assert witness.imports(attributes) == 7
    assert witness.spans_started(attributes) == 9


def test_the_name_of_today_counts_where_both_are_there() -> None:
    assert witness.wait_ms({"trading.queue_wait_ms": 3, "witness.wait_ms": 1}) == 1


def test_odd_values_are_none() -> None:
    odds: list[object] = ["nan", "much", [], {}, None, float("inf")]
    for odd in odds:
        assert witness.loop_lag_ms({witness.LOOP_LAG_MAX_MS: odd}) is None
        assert witness.spans_started({witness.SPANS_STARTED: odd}) is None
    assert witness.spans_started({witness.SPANS_STARTED: True}) is None


@pytest.mark.parametrize(
    "declared", [["loop_lag", "waits"], ("loop_lag", "waits", "more"), '["loop_lag", "waits", 3]']
)
def test_a_declaration_is_read(declared: object) -> None:
    attributes = {witness.RECORDS: declared, witness.CPU_OVER_WALL: 0.1}
    assert witness.records(attributes) == {Recorded.LOOP_LAG, Recorded.WAITS}


def test_without_a_declaration_values_count_and_waits_never_do() -> None:
    """A span without a wait looks the same whether waits are recorded or not."""
    lag_and_cpu = {"trading.loop_lag_max_ms": 2.0, "trading.cpu_over_wall": 0.05}
    assert witness.records(lag_and_cpu) == {Recorded.LOOP_LAG, Recorded.CPU}
    run = {**lag_and_cpu, "trading.spans_started": 9, "trading.queue_wait_ms": 0.0}
    assert witness.records(run) == {Recorded.LOOP_LAG, Recorded.CPU, Recorded.SPANS}
    assert witness.recorded_waits(run) == frozenset()
    assert witness.records({}) == frozenset()


def test_kinds_of_waits_and_the_clock_are_declared() -> None:
    attributes = {witness.WAITS: ["connection_pool", 3, "semaphore"], witness.CLOCK: "ab12"}
    assert witness.recorded_waits(attributes) == {"connection_pool", "semaphore"}
    assert witness.clock(attributes) == "ab12"
    assert witness.clock({witness.CLOCK: 7}) is None
