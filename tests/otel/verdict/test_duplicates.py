"""What was asked for twice is named: the tool and its arguments."""

from tests.otel.verdict.drawn import Drawn, drawn
from trading_graph.otel.diagnosis import Diagnosis, FindingKind, diagnose
from trading_graph.otel.trace import SpanTable
from trading_graph.otel.verdict import CheckResult, Gate, Outcome, judge

GATE = Gate.from_toml(
    """
    version = 1
    [sets.everything]
    name = ["*"]
    [[checks]]
    id = "duplicates"
    title = "Nothing is asked for twice"
    relation = "no_duplicates"
    key = "request"
    set = "everything"
    """,
    "the test's gate",
)


def tool(span_id: str, start: int, arguments: str, parent: str = "run") -> Drawn:
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    return span_id, parent, start, start + 90, said | {"gen_ai.tool.call.arguments": arguments}


def trace(*spans: Drawn) -> SpanTable:
    return drawn(("run", "", 0, 1000, {}), *spans)


def duplicates(of: SpanTable) -> CheckResult:
    (result,) = judge(of, GATE).checks
    return result


def test_the_tool_and_its_arguments_are_named_the_most_frequent_first() -> None:
    result = duplicates(
        trace(
            tool("a", 0, '{"q": "NVDA", "n": 1}'),
            tool("b", 100, '{"n": 1, "q": "NVDA"}'),
            tool("c", 200, '{"q": "AAPL"}'),
            tool("d", 300, '{"q": "AAPL"}'),
            tool("e", 400, '{"q": "AAPL"}'),
            tool("f", 500, '{"q": "MSFT"}'),
        )
    )
    assert result.outcome is Outcome.FAIL
    assert result.measured == "3 of 6 asked for again"
    assert result.notes == (
        'search {"q":"AAPL"}: 3 times.',
        'search {"n":1,"q":"NVDA"}: 2 times.',
    )


def test_long_arguments_and_long_lists_are_shortened() -> None:
    spans = [
        tool(f"{n}{copy}", 10 * n, f'{{"text": "{n:x>300}"}}') for n in range(9) for copy in "ab"
    ]
    notes = duplicates(trace(*spans)).notes
    assert max(map(len, notes)) < 100
    assert notes[-1] == "4 more were asked for again."


def test_other_arguments_are_no_duplicates() -> None:
    result = duplicates(trace(tool("a", 0, '{"q": "NVDA"}'), tool("b", 100, '{"q": "AAPL"}')))
    assert (result.outcome, result.notes) == (Outcome.PASS, ())


def test_one_call_that_two_spans_record_is_asked_for_once() -> None:
    once = trace(tool("a", 0, '{"q": "NVDA"}'), tool("b", 0, '{"q": "NVDA"}', parent="a"))
    assert duplicates(once).outcome is Outcome.PASS


def test_the_diagnosis_finds_what_the_check_finds() -> None:
    found = diagnose(trace(tool("a", 0, '{"q": "NVDA"}'), tool("b", 100, '{"q": "NVDA"}')), GATE)
    assert isinstance(found, Diagnosis)
    (finding,) = [each for each in found.findings if each.kind is FindingKind.DUPLICATES]
    assert (finding.gain.low_s, finding.only_if) == (0, "the tool only reads")
