"""What the service was asked, what it answered, and what that cost."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from trading_graph.graph.offline_model.protocol import TokenCount


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its outcome.

    `habit` is the habit that decided the outcome, if one did. `tokens` are those that the service
    charges for; None means that the request cost nothing. `early` marks a request that came before
    the wait that the service had asked for was over.
    """

    number: int
    path: str
    agent: str
    body: Mapping[str, Any]
    status: int
    habit: str = ""
    tokens: TokenCount | None = None
    early: bool = False

    @property
    def served(self) -> bool:
        """Whether the request got a whole answer."""
        return self.status == 200 and self.tokens is not None and not self.habit

    @property
    def choice(self) -> str:
        """The way in which the request asks for its answer; empty where it leaves that open."""
        choice = self.body.get("tool_choice")
        if isinstance(choice, dict):
            return "named"
        if choice == "none" or not self.body.get("tools"):
            form = self.body.get("response_format") or self.body.get("text", {}).get("format")
            return str(form["type"]) if form else "none" if choice else ""
        return "required" if choice == "any" else choice or "auto"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, or the items of the Responses API."""
        messages: list[dict[str, Any]] = self.body.get("messages") or self.body.get("input") or []
        return messages


class Record:
    """The exchanges of a service in the order of their ends; any thread may read them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._exchanges: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """Add one."""
        with self._lock:
            self._exchanges.append(exchange)

    def __iter__(self) -> Iterator[Exchange]:
        """The exchanges so far; a copy."""
        with self._lock:
            return iter(list(self._exchanges))

    def __len__(self) -> int:
        """How many requests there were."""
        with self._lock:
            return len(self._exchanges)

    def of(self, agents: str | Iterable[str]) -> list[Exchange]:
        """The exchanges of one agent or of several."""
        names = {agents} if isinstance(agents, str) else set(agents)
        return [each for each in self if each.agent in names]

    @property
    def served(self) -> list[Exchange]:
        """The requests that got a whole answer."""
        return [each for each in self if each.served]

    @property
    def refusals(self) -> list[Exchange]:
        """The requests that were refused."""
        return [each for each in self if each.status >= 400]

    @property
    def tokens(self) -> tuple[int, int]:
        """The prompt and completion tokens of all answers that were begun."""
        counts = [each.tokens for each in self if each.tokens is not None]
        return sum(each.prompt for each in counts), sum(each.completion for each in counts)

    @property
    def paid(self) -> int:
        """How many requests cost something."""
        return sum(each.tokens is not None for each in self)

    def refused_by(self, habit: str) -> int:
        """How many requests the habit refused or spoiled."""
        return Counter(each.habit for each in self)[habit]
