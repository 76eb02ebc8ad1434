"""The pytest plugin, as the tests of another program use it: in a pytest of their own."""

import re
from pathlib import Path

import pytest

from trading_graph.otel.sources import read

DOCS = Path(__file__).parents[2] / "docs" / "pytest.md"


def example() -> str:
    """The documented example."""
    blocks: list[str] = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    return str(next(each for each in blocks if each.startswith("import asyncio")))


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


def blocking_example() -> str:
    """The example with a call that blocks in place of the one that waits."""
    assert "await asyncio.sleep(0.1)" in example()
    return "import time\n" + example().replace("await asyncio.sleep(0.1)", "time.sleep(0.3)")


def documented(failure: int) -> str:
    """What the documentation shows of a failure, by its place."""
    shown = DOCS.read_text("utf-8").partition("## What a failure shows")[2]
    blocks: list[str] = re.findall(r"^```\n(.*?)^```$", shown, re.DOTALL | re.MULTILINE)
    return blocks[failure]


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
    assert "Start them at once, with asyncio.gather" in output
    for supplier in ("north", "south", "east"):
        bar = re.search(rf"ask {supplier} +( *)\u2501+", output)
        assert bar is not None, f"no bar of {supplier}"


@pytest.mark.idle(per_cpu=1)
@pytest.mark.parametrize("failure", [0, 1], ids=["blocked", "serial"])
def test_the_documented_message_is_the_real_one(pytester: pytest.Pytester, failure: int) -> None:
    source = (blocking_example, serial_example)[failure]()
    pytester.makepyfile(test_suppliers=source)
    output = pytester.runpytest_subprocess("-p", "no:cacheprovider").stdout.str()

    def without_times(text: str) -> list[str]:
        lines = re.sub(r"\d+\.\d+|\d+ ms|\u2501+| +", " ", text).splitlines()
        return [re.sub(" +", " ", line).strip() for line in lines if line.strip()]

    assert set(without_times(documented(failure))) <= set(without_times(output))


def test_the_traces_of_failed_tests_are_written(pytester: pytest.Pytester, tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    run(pytester, example(), "--trace-report", str(folder)).assert_outcomes(passed=1)
    assert not folder.exists()
    run(pytester, serial_example(), "--trace-report", str(folder)).assert_outcomes(failed=1)
    (written,) = folder.iterdir()
    (trace,) = read(written)
    assert trace.names[0] == "quote"
    assert len(trace) == 5
    all_of_them = ("--trace-report", str(folder), "--trace-report-all")
    run(pytester, example(), *all_of_them).assert_outcomes(passed=1)
    assert len(list(folder.iterdir())) == 2


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
    assert "2 traces were recorded, not one, and no link connects them:" in output
    assert re.search("^  one: 1 span, trace [0-9a-f]{32}$", output, re.MULTILINE)
    assert re.search("^  two: 1 span, trace [0-9a-f]{32}$", output, re.MULTILINE)
    assert "Open one span around what the test runs" in output
    assert "No trace was recorded" in output


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


PRICES = """
import asyncio, time
from opentelemetry import trace

tracer = trace.get_tracer("prices")

async def ask(symbol):
    with tracer.start_as_current_span(f"ask {symbol}"):
        await answer(symbol)

async def quote():
    with tracer.start_as_current_span("quote"):
        await asyncio.gather(*(ask(symbol) for symbol in ("A", "B", "C")))
"""
AWAITS = """
async def answer(symbol):
    await asyncio.sleep(0.3)
"""
BLOCKS = """
async def answer(symbol):
    await asyncio.sleep(0)
    time.sleep(0.3)
"""
THREE_LINES = """
import asyncio, prices
from trading_graph import spans_where
from trading_graph.testing import assert_overlap

def test_prices_are_asked_at_once(recorded_spans):
    asyncio.run(prices.quote())
    assert_overlap(recorded_spans.trace, spans_where(name="ask *"), proven=True)
"""


def line_of(source: str, text: str) -> int:
    """The number of the line that holds a text."""
    return 1 + next(at for at, line in enumerate(source.splitlines()) if text in line)


@pytest.mark.idle(per_cpu=1)
def test_three_lines_tell_a_parallel_program_from_a_blocked_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(prices=PRICES + AWAITS)
    run(pytester, THREE_LINES).assert_outcomes(passed=1)
    blocking = PRICES + BLOCKS
    pytester.makepyfile(prices=blocking)
    result = run(pytester, THREE_LINES)
    result.assert_outcomes(failed=1)
    written = pytester.path.joinpath("prices.py").read_text("utf-8")
    assert f"prices.py:{line_of(written, 'time.sleep')} answer" in result.stdout.str()


GATHERED = """
import asyncio, time
from opentelemetry import trace
from trading_graph import spans_where
from trading_graph.testing import assert_leaf_parallelism, assert_overlap

tracer = trace.get_tracer("t")
AGENT = {"gen_ai.operation.name": "invoke_agent"}
TOOL = {"gen_ai.operation.name": "execute_tool"}
TOOLS = spans_where(role="tool")

async def at_once(number):
    with tracer.start_as_current_span(f"execute_tool {number}", attributes=TOOL):
        time.sleep(0.2)  # at once

async def later(number):
    with tracer.start_as_current_span(f"execute_tool {number}", attributes=TOOL):
        await asyncio.sleep(0)
        time.sleep(0.2)  # later

async def agent(tool):
    with tracer.start_as_current_span("agent", attributes=AGENT):
        await asyncio.gather(*(tool(number) for number in range(3)))

def test_at_once(recorded_spans):
    asyncio.run(agent(at_once))
    assert_overlap(recorded_spans.trace, TOOLS)

def test_later(recorded_spans):
    asyncio.run(agent(later))
    assert_overlap(recorded_spans.trace, TOOLS)

def test_leaves(recorded_spans):
    asyncio.run(agent(later))
    assert_leaf_parallelism(recorded_spans.trace, TOOLS)
"""


@pytest.mark.idle(per_cpu=1)
def test_gather_over_blocking_tools_names_the_line(pytester: pytest.Pytester) -> None:
    result = run(pytester, GATHERED)
    result.assert_outcomes(failed=3)
    output = result.stdout.str()
    written = pytester.path.joinpath("test_program.py").read_text("utf-8")
    at_once, later = (line_of(written, f"# {name}") for name in ("at once", "later"))
    assert output.count(f"test_program.py:{at_once} at_once") >= 1
    assert output.count(f"test_program.py:{later} later") >= 2
    assert "event loop was blocked" in output
    assert "asyncio.gather" not in output.partition("do: ")[2]
    assert "Raise the limit" not in output


LOOP = """
import time
from opentelemetry import trace
from trading_graph import spans_where
from trading_graph.testing import assert_leaf_parallelism, assert_overlap
import pytest

tracer = trace.get_tracer("t")
TOOLS = spans_where(role="tool")

def span(name, operation):
    return tracer.start_as_current_span(name, attributes={"gen_ai.operation.name": operation})

@pytest.fixture
def record(recorded_spans):
    def record(*tools_of_turns):
        with span("agent", "invoke_agent"):
            for tools in tools_of_turns:
                with span("chat", "chat"):
                    time.sleep(0.02)
                for tool in range(tools):
                    with span(f"execute_tool {tool}", "execute_tool"):
                        time.sleep(0.02)
        return recorded_spans.trace
    return record

@pytest.mark.parametrize("group_by", [(), ("turn",), ("parent",)])
def test_one_tool_a_turn(record, group_by):
    trace = record(1, 1, 1)
    assert_leaf_parallelism(trace, TOOLS, group_by=group_by)
    if not group_by:
        assert_overlap(trace, TOOLS)

@pytest.mark.parametrize("group_by", [(), ("parent",)])
def test_two_tools_in_a_turn(record, group_by):
    with pytest.raises(pytest.fail.Exception, match="serial"):
        assert_leaf_parallelism(record(1, 2, 1), TOOLS, group_by=group_by)

def test_one_after_the_other_in_one_turn(record):
    with pytest.raises(pytest.fail.Exception, match="serial"):
        assert_overlap(record(3), TOOLS)

def test_nothing_is_proven(record):
    trace = record(1, 1, 1)
    for group_by in [(), ("turn",)]:
        with pytest.raises(pytest.fail.Exception):
            assert_leaf_parallelism(trace, TOOLS, group_by=group_by, proven=True)
    with pytest.raises(pytest.fail.Exception):
        assert_overlap(trace, TOOLS, proven=True)

def test_two_agents_in_a_row(record, recorded_spans):
    with tracer.start_as_current_span("both"):
        record(1)
        record(1)
    with pytest.raises(pytest.fail.Exception):
        assert_overlap(recorded_spans.trace, TOOLS)
"""


def test_a_loop_with_one_tool_a_turn_is_not_applicable(pytester: pytest.Pytester) -> None:
    result = run(pytester, LOOP)
    result.assert_outcomes(passed=8)
    told = [line for line in result.outlines if "each turn asks for one tool" in line]
    assert len(told) == 4
    assert all("test_one_tool_a_turn" in line for line in told)


LINKED = """
import asyncio
from opentelemetry import context, trace
from trading_graph import spans_where
from trading_graph.testing import assert_complete, assert_overlap
import pytest

tracer = trace.get_tracer("t")

def root(name, *causes):
    links = [trace.Link(cause.get_span_context()) for cause in causes]
    return tracer.start_as_current_span(name, context=context.Context(), links=links)

def above(recorded_spans):
    found = recorded_spans.trace
    assert_complete(found)
    return {span.name: span.parent.name if span.parent else None for span in found}

def test_a_job_hangs_below_what_caused_it(recorded_spans):
    with tracer.start_as_current_span("request"):
        with tracer.start_as_current_span("enqueue") as cause:
            pass
    with root("job", cause), tracer.start_as_current_span("work"):
        pass
    assert len(recorded_spans.traces) == 2
    assert above(recorded_spans) == {
        "request": None, "enqueue": "request", "job": "enqueue", "work": "job"
    }

def test_a_cause_may_link_to_its_job(recorded_spans):
    with tracer.start_as_current_span("request") as request, root("job") as job:
        request.add_link(job.get_span_context())
    assert above(recorded_spans) == {"request": None, "job": "request"}

def test_a_batch_has_several_causes(recorded_spans):
    with root("one") as one:
        pass
    with root("two") as two:
        pass
    with root("batch", two, one):
        pass
    assert above(recorded_spans) == {"one": None, "two": "one", "batch": "two"}

def test_a_chain_of_traces(recorded_spans):
    cause = []
    for name in ("one", "two", "three"):
        with root(name, *cause) as span:
            cause = [span]
    assert above(recorded_spans) == {"one": None, "two": "one", "three": "two"}

def test_jobs_are_judged_together(recorded_spans):
    async def job(cause):
        with root("job", cause):
            await asyncio.sleep(0.1)

    async def jobs():
        with tracer.start_as_current_span("request") as cause:
            await asyncio.gather(*(job(cause) for _ in range(3)))

    asyncio.run(jobs())
    assert len(recorded_spans.traces) == 4
    assert_overlap(recorded_spans.trace, spans_where(name="job"), at_least=0.8)

def test_a_link_to_what_was_not_recorded_joins_nothing(recorded_spans):
    unknown = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
    with root("one", unknown):
        pass
    with root("two", unknown):
        pass
    with root("of two", *[]) as other, root("linked to it", other):
        pass
    message = "(?s)3 traces.*one: 1 span, .*two: 1 span, .*of two: 2 spans, .*, with 1 more linked"
    with pytest.raises(pytest.fail.Exception, match=message):
        recorded_spans.trace
"""


def test_linked_traces_are_joined(pytester: pytest.Pytester) -> None:
    run(pytester, LINKED).assert_outcomes(passed=6)


def test_the_witness_is_there_during_the_test_alone(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from trading_graph.otel import witness
        import pytest

        def test_installed_for_the_test(recorded_spans):
            assert witness.is_installed()

        def test_and_removed_after_it():
            assert not witness.is_installed()

        @pytest.fixture
        def by_the_program():
            witness.install()
            yield
            assert witness.is_installed()
            witness.uninstall()

        def test_what_the_program_installed_stays(by_the_program, recorded_spans):
            assert witness.is_installed()
        """,
    )
    result.assert_outcomes(passed=3)
