"""What a run may cost at most, in seconds, LLM calls and tokens.

Light to import: the command line builds it before it loads anything heavy.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

_NumberT = TypeVar("_NumberT", int, float)


class Limit(StrEnum):
    """One of the three budgets of a run."""

    SECONDS = "seconds"
    LLM_CALLS = "llm_calls"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a run may spend; None is no limit.

    `llm_calls` counts requests, so every retry is one; `tokens` those that went in and came out.
    """

    seconds: float | None = None
    llm_calls: int | None = None
    tokens: int | None = None

    def within(self, other: "Budget") -> "Budget":
        """The smaller of both, limit by limit."""
        return Budget(
            seconds=_smaller(self.seconds, other.seconds),
            llm_calls=_smaller(self.llm_calls, other.llm_calls),
            tokens=_smaller(self.tokens, other.tokens),
        )

    def sentence(self, limit: Limit) -> str:
        """That a limit is reached, and what raises it."""
        match limit:
            case Limit.SECONDS:
                what, most, flag = "seconds", self.seconds, "--max-seconds"
            case Limit.LLM_CALLS:
                what, most, flag = "LLM calls", self.llm_calls, "--max-calls"
            case Limit.TOKENS:
                what, most, flag = "tokens", self.tokens, "--max-tokens"
        # A run that is resumed without the limit that it had reached still says that it did.
        number = "" if most is None else f" ({most})"
        return f"the run's budget of {what}{number} is reached; raise {flag}."


def _smaller(one: _NumberT | None, other: _NumberT | None) -> _NumberT | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
