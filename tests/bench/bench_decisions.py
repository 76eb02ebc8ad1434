"""How long it takes to read a decision, in each form that models write it in.

    PYTHONPATH=. python tests/bench/bench_decisions.py

The bar of the design: at most 1 ms. Beside the usual forms stand long ones: a decision behind
100,000 characters of thoughts or of prose, and text that can cost much and is refused.
"""

import json
import statistics
import time
from collections.abc import Mapping

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk

from trading_graph.graph.decision_parser import read_answer
from trading_graph.graph.decisions import FinalDecision

FIELDS = {
    "action": "Buy",
    "confidence": "66%",
    "horizon_days": "30 days",
    "entry": "$190.17",
    "stop": 180.5,
    "target": "1,210",
    "position_pct": "5%",
    "rationale": "Growth of 62 % (get_income_statement). " * 5,
    "evidence": json.dumps(["revenue 57.0 billion (get_income_statement)"] * 8),
    "risks": ["valuation"] * 4,
    "an extra field": {"a": 1},
}
TEXT = json.dumps(FIELDS)
WORDS = "The price of {symbol} rose, and the margins held. "


def called(arguments: str) -> AIMessageChunk:
    chunk = tool_call_chunk(name="FinalDecision", args=arguments, id="1", index=0)
    return AIMessageChunk(content="", tool_call_chunks=[chunk])


MESSAGES: Mapping[str, AIMessage] = {
    "a call": called(TEXT),
    "bare JSON": AIMessage(TEXT),
    "fenced JSON": AIMessage(f"Here it is:\n\n```json\n{TEXT}\n```"),
    "a call as text": AIMessage(
        f'<tool_call>{{"name": "FinalDecision", "arguments": {TEXT}}}</tool_call>'
    ),
    "a call that is refused": called(TEXT.replace("Buy", "Buy or hold")),
    "100,000 characters of thoughts": AIMessage(f"<think>{WORDS * 2000}</think>{TEXT}"),
    "100,000 characters of prose": AIMessage(f"{WORDS * 2000}\n\nMy answer:\n{TEXT}"),
    "100,000 characters, one paragraph": AIMessage(f"{WORDS * 2000}{TEXT}"),
    "100,000 characters beside a call": AIMessageChunk(
        content=WORDS * 2000, tool_call_chunks=called(TEXT).tool_call_chunks
    ),
    "100,000 opening tags": AIMessage("<think>" * 14_000 + TEXT),
    "100,000 braces": AIMessage("{" * 100_000),
    "an object 100,000 deep": AIMessage('{"a":' * 20_000),
}


def main() -> None:
    """Print the median and the worst of many readings of each form."""
    for name, message in MESSAGES.items():
        took = []
        for _ in range(200):
            begin = time.perf_counter()
            reading = read_answer(message, FinalDecision)
            took.append(1e3 * (time.perf_counter() - begin))
        outcome = "read" if reading.answer else f"refused: {reading.objection}"
        median, worst = statistics.median(took), sorted(took)[-3]
        print(f"{name:34} {median:7.3f} ms, 99 % within {worst:7.3f} ms; {outcome}")


if __name__ == "__main__":
    main()
