"""The pytest plugin beside the plugins that asynchronous programs are tested with."""

from pathlib import Path

import pytest

PROGRAM = """
import asyncio, time
from opentelemetry import trace

tracer = trace.get_tracer("program")

async def part(number, blocks):
    with tracer.start_as_current_span(f"part {number}"):
        await asyncio.sleep(0)
        if blocks:
            time.sleep(0.3)
        else:
            await asyncio.sleep(0.3)

async def whole(blocks):
    with tracer.start_as_current_span("whole"):
        await asyncio.gather(*(part(number, blocks) for number in range(3)))
"""

TESTS = """
import program
import pytest
from trading_graph import spans_where
from trading_graph.testing import assert_overlap

PARTS = spans_where(name="part *")

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.MARK
@pytest.mark.parametrize("number", range(2))
async def test_parallel(recorded_spans, number):
    await program.whole(blocks=False)
    assert len(recorded_spans.ended) == 4
    assert_overlap(recorded_spans.trace, PARTS, at_least=0.8, proven=True)

@pytest.mark.MARK
async def test_blocked(recorded_spans):
    await program.whole(blocks=True)
    assert len(recorded_spans.ended) == 4
    assert_overlap(recorded_spans.trace, PARTS)
"""
BLOCKING_LINE = 1 + PROGRAM.strip().splitlines().index("            time.sleep(0.3)")


def run(pytester: pytest.Pytester, *options: str) -> str:
    """Run a project with tests of both kinds, and return what was printed."""
    pytester.makepyfile(
        program=PROGRAM,
        test_asyncio=TESTS.replace("MARK", "asyncio"),
        test_anyio=TESTS.replace("MARK", "anyio"),
    )
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=4, failed=2)
    return result.stdout.str()


@pytest.mark.idle(per_cpu=1)
def test_tests_of_pytest_asyncio_and_anyio(pytester: pytest.Pytester) -> None:
    output = run(pytester)
    assert output.count(f"program.py:{BLOCKING_LINE} part") >= 2


@pytest.mark.idle(per_cpu=1)
def test_a_loop_that_all_tests_share(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(program=PROGRAM, test_shared=TESTS.replace("@pytest.mark.MARK\n", ""))
    pytester.makeini("""
        [pytest]
        asyncio_mode = auto
        asyncio_default_test_loop_scope = session
        asyncio_default_fixture_loop_scope = session
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    assert f"program.py:{BLOCKING_LINE} part" in result.stdout.str()


@pytest.mark.idle(per_cpu=1)
def test_a_loop_that_runs_in_a_thread_before_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        program=PROGRAM,
        test_threads="""
        import asyncio, threading
        import program
        import pytest
        from trading_graph import spans_where
        from trading_graph.testing import assert_overlap

        PARTS = spans_where(name="part *")

        @pytest.fixture(scope="session")
        def serve():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever)
            thread.start()
            yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

        @pytest.mark.parametrize("number", range(2))
        def test_parallel(serve, recorded_spans, number):
            serve(program.whole(blocks=False))
            assert_overlap(recorded_spans.trace, PARTS, at_least=0.8, proven=True)

        def test_blocked(serve, recorded_spans):
            serve(program.whole(blocks=True))
            assert_overlap(recorded_spans.trace, PARTS)
        """,
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=1)
    assert f"program.py:{BLOCKING_LINE} part" in result.stdout.str()


@pytest.mark.alone
def test_the_processes_of_xdist(pytester: pytest.Pytester, tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    output = run(pytester, "-n", "2", "--trace-report", str(folder))
    assert output.count(f"program.py:{BLOCKING_LINE} part") >= 2
    assert len(list(folder.iterdir())) == 2


def test_what_could_not_be_judged_comes_from_the_processes_of_xdist(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        test_nothing="""
        from opentelemetry import trace
        from trading_graph import spans_where
        from trading_graph.testing import assert_leaf_parallelism
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_one_span(recorded_spans, number):
            with trace.get_tracer("t").start_as_current_span("one"):
                pass
            one = spans_where(name="one")
            assert_leaf_parallelism(recorded_spans.trace, one, not_applicable=True)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-n", "2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(
        [f"test_nothing.py::test_one_span[[]{number}]: leaf_parallelism of *" for number in (0, 1)]
    )
