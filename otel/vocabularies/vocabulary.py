"""What a vocabulary is: the attributes that say what a span is, and those that say more of it.

Beside it the roles of spans, and readers of single figures.
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from trading_graph.otel.vocabularies.values import Attributes, first_number

Value = TypeVar("Value")


class Reader(Generic[Value]):
    """A function of a span's attributes that gives `otherwise` unless one of `keys` is there.

    So a trace in which no span has any of the keys is not asked span by span.
    """

    def __init__(
        self, read: Callable[[Attributes], Value], keys: Iterable[str], otherwise: Value
    ) -> None:
        self.read = read
        self.keys = frozenset(keys)
        self.otherwise = otherwise
        self.__doc__ = read.__doc__

    def __call__(self, attributes: Attributes) -> Value:
        """Read the attributes of one span."""
        return self.read(attributes)


class Figure(Reader[float | None]):
    """A finite number that stands under one of some keys; None without one."""

    def __init__(self, *keys: str) -> None:
        super().__init__(lambda attributes: first_number(attributes, keys), keys, None)


class Role(StrEnum):
    """What a span stands for in a program of agents; gate files use these names."""

    RUN = "run"
    DISPATCH = "dispatch"
    JOIN = "join"
    AGENT = "agent"
    CHAIN = "chain"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    FETCH = "fetch"
    PREFETCH = "prefetch"
    INTERRUPTION = "interruption"
    HTTP = "http"
    RPC = "rpc"
    DATABASE = "database"
    MESSAGING = "messaging"
    OTHER = "other"

    # Enum.__hash__ is a Python function, which is slow for a look-up per span.
    __hash__ = str.__hash__


RoleReader = Callable[[Attributes], Role | None]
"""Reads a role from attributes of which one is known to be there; None where they do not say."""


class Vocabulary(msgspec.Struct, frozen=True, kw_only=True):
    """The documented attributes of one vocabulary.

    `kinds` name what a span is. `signs` are found on spans of one role alone, and count where no
    vocabulary names the kind. Everything else is keys, of which the first that holds a value
    counts; `first_token_ms` are in milliseconds, `first_token_s` in seconds. `answer_signs` stand
    on an LLM span only after the model has answered.
    """

    kinds: Mapping[str, RoleReader] = msgspec.field(default_factory=dict)
    signs: Mapping[str, RoleReader] = msgspec.field(default_factory=dict)
    agent_names: tuple[str, ...] = ()
    tool_names: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    answer_signs: tuple[str, ...] = ()
    input_tokens: tuple[str, ...] = ()
    output_tokens: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    first_token_s: tuple[str, ...] = ()
    first_token_ms: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()


def by_value(key: str, meanings: Mapping[str, Role]) -> dict[str, RoleReader]:
    """The kind that an attribute names by its value."""

    def read(attributes: Attributes) -> Role | None:
        value = attributes[key]
        return meanings.get(value) if isinstance(value, str) else None

    return {key: read}


def by_presence(role: Role, *keys: str) -> dict[str, RoleReader]:
    """A role that attributes have by being there."""

    def read(_: Attributes) -> Role:
        return role

    return dict.fromkeys(keys, read)
