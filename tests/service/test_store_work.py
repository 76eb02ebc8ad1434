"""The list of work in the store: runs and traces in one order, page by page, both ways."""

from pathlib import Path

import pytest

from tests.service.test_store import run, verdict
from trading_graph.service.store import (
    RunState,
    Store,
    StoredVerdict,
    VerdictFilter,
    WorkFilter,
    open_store,
)

RUNS, TRACES = range(1, 14), range(101, 112)


def theirs(number: int, at: float, passed: bool | None, service: str) -> StoredVerdict:
    made = verdict(number, at)
    return StoredVerdict(
        made.id, made.trace_id, service, "n", at, 1.0, passed, 5.0, f'{{"n": {number}}}'
    )


async def fill(store: Store) -> list[str]:
    """Put runs and traces in between one another into a store; their ids, newest first."""
    states = list(RunState)
    for number in RUNS:
        passed = (True, False, None)[number % 3]
        state, symbol = states[number % 5], ("AAPL", "NVDA")[number % 2]
        await store.add(
            run(number, state=state, symbol=symbol, passed=passed, created=float(10 * number))
        )
    await store.keep_verdict(theirs(3, 30.0, True, "trading-graph"))  # on a run
    for number in TRACES:
        passed = (True, False, None)[number % 3]
        # Three of them started in the same moment.
        at = 55.0 if number < 104 else float(10 * (number - 100) + 5)
        await store.keep_verdict(theirs(number, at, passed, ("shop", "agents")[number % 2]))
    moments = {f"{number:032x}": 10.0 * number for number in RUNS}
    moments |= {
        f"{number:032x}": 55.0 if number < 104 else 10.0 * (number - 100) + 5 for number in TRACES
    }
    return sorted(moments, key=lambda id: (moments[id], id), reverse=True)


ALL = WorkFilter(states=tuple(RunState))


async def test_pages_hold_each_entry_once_in_one_order_both_ways(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        ids = await fill(store)
        seen, pages, before = [], [], None
        while True:
            page = await store.work(ALL, before=before, limit=5)
            assert page.newer == (before is not None)
            seen += [each.id for each in page.entries]
            pages.append([each.id for each in page.entries])
            if not page.older:
                break
            before = page.entries[-1].id
        assert seen == ids
        back = []
        after = pages[-1][0]
        for expected in reversed(pages[:-1]):
            page = await store.work(ALL, after=after, limit=5)
            assert page.older
            back.append([each.id for each in page.entries])
            assert back[-1] == expected
            after = page.entries[0].id
        assert not page.newer, "the newest page has none before it"


async def test_a_page_at_the_newest_end_is_filled_up(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        ids = await fill(store)
        page = await store.work(ALL, after=ids[2], limit=5)
        assert [each.id for each in page.entries] == ids[:5]
        assert (page.newer, page.older) == (False, True)
        gone = await store.work(ALL, before="f" * 32, limit=5)
        assert [each.id for each in gone.entries] == ids[:5], "its entry was deleted: begin anew"


async def test_a_run_comes_with_its_verdict_and_is_no_trace_of_others(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await fill(store)
        page = await store.work(ALL, limit=100)
        third = next(each for each in page.entries if each.id == f"{3:032x}")
        assert third.run is not None
        assert third.verdict is not None
        assert third.verdict.document == '{"n": 3}'
        other = next(each for each in page.entries if each.id == f"{4:032x}")
        assert (other.run is not None, other.verdict) == (True, None)
        traces = [each for each in page.entries if each.run is None]
        assert len(traces) == len(TRACES)
        assert all(each.verdict is not None for each in traces)


@pytest.mark.parametrize(
    ("of", "numbers"),
    [
        (WorkFilter(states=(), traces=True), [*TRACES]),
        (WorkFilter(traces=False), [n for n in RUNS if n % 5 >= 2]),
        (WorkFilter(states=(RunState.FAILED,), traces=False), [n for n in RUNS if n % 5 == 3]),
        (
            WorkFilter(states=tuple(RunState), verdict=VerdictFilter.PASSED),
            [n for n in (*RUNS, *TRACES) if n % 3 == 0],
        ),
        (
            WorkFilter(states=tuple(RunState), verdict=VerdictFilter.FAILED),
            [n for n in (*RUNS, *TRACES) if n % 3 == 1],
        ),
        (
            WorkFilter(states=tuple(RunState), verdict=VerdictFilter.NONE),
            [n for n in (*RUNS, *TRACES) if n % 3 == 2],
        ),
        (WorkFilter(states=(), service="shop"), [n for n in TRACES if n % 2 == 0]),
        (
            WorkFilter(states=tuple(RunState), traces=False, symbol="NVDA"),
            [n for n in RUNS if n % 2],
        ),
        (WorkFilter(states=(), traces=False), []),
    ],
)
async def test_a_filter_lets_through_what_it_names(
    tmp_path: Path, of: WorkFilter, numbers: list[int]
) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        order = await fill(store)
        page = await store.work(of, limit=100)
        assert [each.id for each in page.entries] == [
            id for id in order if int(id, 16) in set(numbers)
        ]


async def test_services_and_verdicts_are_read_by_name_and_id(tmp_path: Path) -> None:
    async with open_store(tmp_path / "service.sqlite") as store:
        await fill(store)
        assert await store.services(10) == ["agents", "shop", "trading-graph"]
        assert await store.services(1) == ["agents"]
        ids = [f"{number:032x}" for number in (3, 101, 999)]
        assert set(await store.verdicts_of(ids)) == set(ids[:2])
        assert await store.verdicts_of([]) == {}
