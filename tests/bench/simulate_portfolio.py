"""How long an evening of many tickers takes, and what it waits for, from measured runs.

    python tests/bench/simulate_portfolio.py [RUN ...] [--tickers 5000] [--at-once 20]
        [--requests 500] [--tokens 200000] [--call-s SECONDS]

RUN is a run's folder or a trace file; without any, one run of the offline model is made and
measured. Each ticker plays one of these runs: its agents in their order, the calls of each with
their tokens and durations, and the time between them. The clock is virtual, and the limits a minute
hold for each model. What half as many again of each resource would save is found by playing the
first 500 tickers again. For several workers there is `simulate_workers.py`.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tests.bench.evening import AT_ONCE, Evening, limit_words, play
from tests.bench.scripts import measure, scripts_of
from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.chat.rate_limits import Bound, RateLimits, in_words

MORE = 1.5
"""How much more of a resource is tried."""
SPEED = "speed of the models (latency x chain)"
SAMPLE = 500
"""The number of tickers with which more of a resource is tried."""
_LEAST_SHARE = 0.01
"""A resource of which more would save less than this share of the evening does not bind."""


def with_more(evening: Evening) -> dict[str, Evening]:
    """The evening with half as many again of each resource."""
    evenings = {AT_ONCE: replace(evening, at_once=round(evening.at_once * MORE))}
    for model, limits in evening.limits.items():
        for what in (Bound.REQUESTS, Bound.TOKENS):
            if (most := getattr(limits, what)) is not None:
                more = evening.with_limit(model, what, round(most * MORE))
                evenings[limit_words(model, what)] = more
    faster = tuple(script.with_calls_shorter_by(MORE) for script in evening.scripts)
    evenings[SPEED] = replace(evening, scripts=faster)
    return evenings


def savings(evening: Evening) -> dict[str, float]:
    """The share of the evening that half as many again of each resource saves, the most first."""
    sample = replace(evening, tickers=min(evening.tickers, SAMPLE))
    seconds = play(sample).seconds
    shares = {name: 1 - play(other).seconds / seconds for name, other in with_more(sample).items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def binding(shares: Mapping[str, float]) -> str | None:
    """The resource of which more would save most; None where none would save anything.

    Faster models shorten any evening somewhat: they bind where nothing else does.
    """
    others = [name for name in shares if name != SPEED]
    for name in (max(others, key=shares.__getitem__), SPEED):
        if shares[name] >= _LEAST_SHARE:
            return name
    return None


def show_inputs(evening: Evening) -> None:
    """Print the runs and the limits."""
    print("Inputs")
    for script in evening.scripts:
        tokens = Counter[str]()
        for call in script.calls:
            tokens[call.model] += call.tokens
        parts = ", ".join(f"{number:,} of {model}" for model, number in sorted(tokens.items()))
        print(
            f"  a run of {script.wall_s:.1f} s, {script.alone_s:.1f} s without limits: "
            f"{len(script.calls)} calls, tokens: {parts}"
        )
    for model, limits in evening.limits.items():
        print(f"  {model}: {limits.requests} requests, {limits.tokens} tokens a minute")


def show(evening: Evening) -> None:
    """Print the inputs, the evening, and what binds."""
    show_inputs(evening)
    print(f"  {evening.tickers:,} tickers, {evening.at_once} at once")
    began = time.perf_counter()
    played = play(evening)
    took_s = time.perf_counter() - began
    print(f"The evening takes {in_words(played.seconds)} (played in {took_s:.1f} s)")
    for name, seconds in sorted(played.waited_s.items()):
        print(f"  some call waited for {name} for {seconds / played.seconds:.0%} of the time")
    print("At least, by each resource alone")
    for name, seconds in sorted(evening.bounds().items(), key=lambda item: -item[1]):
        print(f"  {name:<40}{in_words(seconds):>14}{seconds / played.seconds:8.0%}")
    print("Half as many again would save")
    shares = savings(evening)
    for name, share in shares.items():
        words = in_words(share * played.seconds) if share >= _LEAST_SHARE else "nothing"
        print(f"  {name:<40}{words:>14}{share:8.0%}")
    print(f"It binds: {binding(shares) or 'nothing of these'}")


def main() -> None:
    """Read the command line, and play."""
    parser = argparse.ArgumentParser(description="An evening of many tickers.")
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--tickers", type=int, default=5000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--requests", type=int, default=500, help="a minute, of each model")
    parser.add_argument("--tokens", type=int, default=200_000, help="a minute, of each model")
    parser.add_argument("--call-s", type=float, help="in place of the measured durations of calls")
    asked = parser.parse_args()
    scripts = [script for path in asked.runs for script in scripts_of(path)]
    if not asked.runs:
        print("Making one run of the offline model.")
        with tempfile.TemporaryDirectory() as folder:
            scripts = measure(Path(folder), BackendChoice(), ["AAPL"])
    if not scripts:
        sys.exit("There is no run with agents in these files.")
    if asked.call_s is not None:
        print(f"Each call takes {asked.call_s:g} s, whatever was measured.")
        scripts = [script.with_calls_of(asked.call_s) for script in scripts]
    evening = Evening(tuple(scripts), asked.tickers, asked.at_once, {})
    limits = dict.fromkeys(evening.models, RateLimits(asked.requests, asked.tokens))
    show(replace(evening, limits=limits))


if __name__ == "__main__":
    main()
