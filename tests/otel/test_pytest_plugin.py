"""The pytest plugin, as the tests of another program use it: in a pytest of their own."""

import re
from pathlib import Path

import pytest

from trading_graph.otel.sources import read

DOCS = Path(__file__).parents[2] / "docs" / "pytest.md"


def example() -> str:
    """The documented example."""
    found = re.search(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


def serial_example() -> str:
    """The example with a loop in place of gather."""
    gathered = "        await asyncio.gather(*(ask(supplier) for supplier in"
    assert gathered in example()
    start = example().index(gathered)
    line = example()[start:].partition("\n")[0]
    names = line.partition(" in ")[2].rstrip(")") + ")"
    return example().replace(
        line, f"        for supplier in {names}:\n            await ask(supplier)"
    )


def run(pytester: pytest.Pytester, source: str, *options: str) -> pytest.RunResult:
    """Run the source as a test module in a process of its own, where only entry points load."""
    pytester.makepyfile(test_program=source)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


def test_the_documented_example_passes(pytester: pytest.Pytester) -> None:
    run(pytester, example()).assert_outcomes(passed=1)


def test_the_documented_example_fails_when_it_is_serial(pytester: pytest.Pytester) -> None:
    result = run(pytester, serial_example())
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert "overlap: spans 0%, work below them 0%" in output
    assert "serial: they were dispatched one after the other" in output
    assert "start them at once, with asyncio.gather" in output
    for supplier in ("north", "south", "east"):
        bar = re.search(rf"ask {supplier} +( *)\u2501+", output)
        assert bar is not None, f"no bar of {supplier}"


def test_the_documented_message_is_the_real_one(pytester: pytest.Pytester) -> None:
    output = run(pytester, serial_example()).stdout.str()
    shown = DOCS.read_text("utf-8").rpartition("```\n")[0].rpartition("```\n")[2]

    def without_times(text: str) -> list[str]:
        lines = re.sub(r"\d+\.\d+|\u2501+| +", " ", text).splitlines()
        return [line.strip() for line in lines if line.strip()]

    assert set(without_times(shown)) <= set(without_times(output))


def test_the_traces_of_failed_tests_are_written(pytester: pytest.Pytester, tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    run(pytester, example(), "--trace-report", str(folder)).assert_outcomes(passed=1)
    assert not folder.exists()
    run(pytester, serial_example(), "--trace-report", str(folder)).assert_outcomes(failed=1)
    (written,) = folder.iterdir()
    (trace,) = read(written)
    assert trace.names[0] == "quote"
    assert len(trace) == 5


def test_an_empty_set_and_a_broken_tree_fail(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from opentelemetry import trace
        from trading_graph import spans_where
        from trading_graph.testing import assert_no_errors, assert_overlap

        tracer = trace.get_tracer("t")

        def test_nothing_to_judge(recorded_spans):
            with tracer.start_as_current_span("root"):
                pass
            assert_overlap(recorded_spans.trace, spans_where(name="ask *"))

        def test_two_roots(recorded_spans):
            for name in ("one", "two"):
                with tracer.start_as_current_span(name):
                    pass
            assert len(recorded_spans.traces) == 2
            assert_no_errors(recorded_spans.trace)

        def test_no_span_at_all(recorded_spans):
            recorded_spans.trace

        def test_each_test_sees_its_own(recorded_spans):
            with tracer.start_as_current_span("own"):
                pass
            assert [span.name for span in recorded_spans.trace] == ["own"]
        """,
    )
    result.assert_outcomes(failed=3, passed=1)
    output = result.stdout.str()
    assert "not applicable: no span is in the set" in output
    assert "2 traces were recorded, not one (one, two)" in output
    assert "0 traces were recorded, not one (no spans)" in output


def test_every_relation_can_hold_and_fail(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import time
        import pytest
        from opentelemetry import trace
        from trading_graph import spans_where, testing as spans

        tracer = trace.get_tracer("t")
        FIRST, BOTH = spans_where(name="step 1"), spans_where(name="step *")
        SECOND = spans_where(name="step 2")

        @pytest.fixture
        def found(recorded_spans):
            with tracer.start_as_current_span("root"):
                for number in (1, 2):
                    with tracer.start_as_current_span(f"step {number}", attributes={"key": "same"}):
                        time.sleep(0.05)
                    time.sleep(0.05)
            return recorded_spans.trace

        CASES = {
            "starts": (
                lambda t, s: spans.assert_starts_within(t, SECOND, after=FIRST, limit_s=s), 5, 0.01
            ),
            "duration": (lambda t, s: spans.assert_duration(t, BOTH, limit_s=s), 5, 0.01),
            "gap": (lambda t, s: spans.assert_max_gap(t, BOTH, limit_s=s), 5, 0.01),
            "count": (lambda t, n: spans.assert_count(t, BOTH, at_most=n), 2, 1),
            "chain": (lambda t, n: spans.assert_chain(t, BOTH, limit=n), 2, 1),
            "before": (lambda t, sets: spans.assert_before(t, *sets), (FIRST, SECOND),
                       (SECOND, FIRST)),
            "duplicates": (lambda t, key: spans.assert_no_duplicates(t, *key), None, None),
        }

        @pytest.mark.parametrize("case", sorted(set(CASES) - {"duplicates"}))
        def test_relation(found, case):
            hold, good, bad = CASES[case]
            hold(found, good)
            with pytest.raises(pytest.fail.Exception):
                hold(found, bad)

        def test_duplicates(found):
            spans.assert_no_duplicates(found, FIRST, key="key")
            with pytest.raises(pytest.fail.Exception, match="1 of 2"):
                spans.assert_no_duplicates(found, BOTH, key="key")

        def test_leaves(found):
            with pytest.raises(pytest.fail.Exception, match="0 of 1 groups"):
                spans.assert_leaf_parallelism(found, BOTH)
            spans.assert_leaf_parallelism(found, FIRST, not_applicable=True)
            with pytest.raises(pytest.fail.Exception, match="not applicable"):
                spans.assert_leaf_parallelism(found, FIRST)
        """,
    )
    result.assert_outcomes(passed=8)
