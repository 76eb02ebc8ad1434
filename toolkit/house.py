"""What the processes of a house share, where several work for it: limits, and the cache.

A source or a model's service limits the house, and not a process of it. These are the seams;
whoever opens the back ends brings what stands behind them.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from trading_graph.toolkit.cache import Store

LOOK_S = 2.0
"""A request that waits looks at least so often when its turn is, which also says that it lives."""


class Hold(StrEnum):
    """What makes a request wait."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request stands: it may be sent now, or has to wait at least `wait_s` and look again.

    `id` is its place in line while it waits, and what it has booked when it may be sent.
    """

    id: int
    wait_s: float = 0.0
    hold: Hold = Hold.REQUESTS


class HouseLimit(Protocol):
    """A limit of the house: in any window no more is sent than it says, by whichever process.

    Nothing here raises: while the house cannot be asked, a share of the limit is kept.
    """

    async def book(self, tokens: int = 0, waiting: Place | None = None) -> Place:
        """Book a request, at the end of the line or where it waits already."""
        ...

    def leave(self, waiting: Place) -> None:
        """Give up a place in line."""
        ...

    def settle(self, booked: Place, tokens: int) -> None:
        """Book so many tokens more for a request; a negative number gives tokens back."""
        ...

    def pause(self, seconds: float) -> None:
        """Book nothing for that long, for any process: the service has said when it is back."""
        ...


class HouseLimits(Protocol):
    """The limits of the house, by name."""

    def limit(
        self, name: str, *, requests: int | None, tokens: int | None = None, window_s: float
    ) -> HouseLimit:
        """The limit of that name; None is no limit, where only a pause makes a request wait."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """What the processes of a house share.

    `open_cache` opens the store of what is cached; the edition names what values depend on besides
    their key.
    """

    limits: HouseLimits
    open_cache: Callable[[str], AbstractAsyncContextManager[Store]]
