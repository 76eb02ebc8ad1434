"""The tokens of a call: what a service reports, read once for each attempt and in one form.

Some services report their usage in every chunk, cumulative (vLLM, Ollama): the last one counts.
Some keep reasoning apart from the output (xAI, proxies of Gemini); some name the
cached input in a field of their own (DeepSeek). An attempt that failed may have cost tokens too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

_MOST = 2**53


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a call: `cached` and `written` (to the cache) are parts of the input, `reasoning`
    is one of the output.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        """Input and output."""
        return self.input + self.output

    def __add__(self, other: "TokenCount") -> "TokenCount":
        return TokenCount(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.written + other.written,
            self.reasoning + other.reasoning,
        )


class Tally:
    """The tokens of all attempts of a call, those that failed included.

    `uncounted` is the number of attempts that were answered, at least in part, and whose tokens the
    service did not report; `latest` is what the latest attempt took, None where that is unknown.
    """

    def __init__(self) -> None:
        self.total = TokenCount()
        self.uncounted = 0
        self.latest: TokenCount | None = None
        self._has_answer = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Count one attempt, however the block ends."""
        self.latest, self._has_answer = None, False
        try:
            yield
        finally:
            if self.latest is not None:
                self.total += self.latest
            elif self._has_answer:
                self.uncounted += 1

    def read(self, part: AIMessageChunk) -> None:
        """Note a chunk of the attempt's answer; of several reports the last one counts."""
        self._has_answer = True
        if part.usage_metadata:
            self.latest = token_count(part.usage_metadata)


def later_report(earlier: Mapping[str, Any] | None, later: Mapping[str, Any]) -> dict[str, Any]:
    """The later report, with what only the earlier one says: some report input and output apart."""
    merged: dict[str, Any] = dict(earlier or {})
    for key, value in later.items():
        if isinstance(value, Mapping):
            before = merged.get(key)
            merged[key] = later_report(before if isinstance(before, Mapping) else None, value)
        elif value or key not in merged:
            merged[key] = value
    return merged


def usage_metadata(usage: object) -> UsageMetadata | None:
    """The tokens of a report in the words of either protocol; None where it tells of none.

    Where the total exceeds its parts, the rest is reasoning that the service counts apart.
    """
    if not isinstance(usage, Mapping):
        return None
    input_tokens = _count(usage, "prompt_tokens", "input_tokens")
    output_tokens = _count(usage, "completion_tokens", "output_tokens")
    output_tokens = max(output_tokens, _count(usage, "total_tokens") - input_tokens)
    if not input_tokens + output_tokens:
        return None
    inward = _details(usage, "prompt_tokens_details", "input_tokens_details")
    outward = _details(usage, "completion_tokens_details", "output_tokens_details")
    return UsageMetadata(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
        input_token_details=InputTokenDetails(
            cache_read=_count(inward, "cached_tokens") or _count(usage, "prompt_cache_hit_tokens"),
            cache_creation=_count(inward, "cache_write_tokens"),
        ),
        output_token_details=OutputTokenDetails(reasoning=_count(outward, "reasoning_tokens")),
    )


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    values = (usage.get(name) for name in names)
    return next((each for each in values if isinstance(each, Mapping)), {})


def _count(counts: Mapping[str, Any], *names: str) -> int:
    """The first count above 0; what is no count is none."""
    values = (counts.get(name) for name in names)
    numbers = (each for each in values if isinstance(each, int | float))
    return next((int(each) for each in numbers if 1 <= each < _MOST), 0)


def token_count(usage: UsageMetadata) -> TokenCount:
    """The tokens of a report; service tiers have their own fields, such as `flex_cache_read`."""
    return TokenCount(
        usage["input_tokens"],
        usage["output_tokens"],
        _sum_of(usage.get("input_token_details"), "cache_read"),
        _sum_of(usage.get("input_token_details"), "cache_creation"),
        _sum_of(usage.get("output_token_details"), "reasoning"),
    )


def _sum_of(details: Mapping[str, Any] | None, word: str) -> int:
    return sum(count or 0 for key, count in (details or {}).items() if key.endswith(word))
