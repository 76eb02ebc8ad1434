"""What a vocabulary is: the attributes that say what a span is, and those that say more of it."""

from collections.abc import Callable, Mapping

import msgspec

from trading_graph.otel.vocabularies.role import Role
from trading_graph.otel.vocabularies.values import Attributes

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
