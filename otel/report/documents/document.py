"""What all JSON documents share: the encoding, the schema, and a span that proves something."""

import json
from collections.abc import Callable, Iterable
from inspect import cleandoc
from itertools import islice
from typing import Any, Final, Literal, Self

import msgspec

from trading_graph.otel.trace import Span
from trading_graph.otel.trace.blocks import LoopBlock
from trading_graph.otel.vocabularies.witness import BlockState

SCHEMA_VERSION: Final[Literal[1]] = 1
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

SchemaHook = Callable[[type], dict[str, Any]]
"""The schema of a type that msgspec does not know."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """An object of a JSON document; its fields are printed in their order, under their names."""

    @classmethod
    def of(cls, source: object, **values: Any) -> Self:
        """The document of an object: what `values` do not give are its attributes of that name."""
        copied = [name for name in cls.__struct_fields__ if name not in values]
        return cls(**{name: getattr(source, name) for name in copied}, **values)


class SpanJson(Document, frozen=True, kw_only=True):
    """A span, by its id and its name; `item` is which of many equal pieces of work it is."""

    span_id: str
    name: str
    item: str = ""


def spans_json(spans: Iterable[Span]) -> list[SpanJson]:
    """Spans as documents list them."""
    return [SpanJson(span_id=span.id, name=span.name, item=span.item) for span in spans]


class BlockJson(Document, frozen=True, kw_only=True):
    """A block of an event loop: when, for how long, and which line it was.

    `starved_s` is the part of `duration_s` in which other programs had the CPU.
    """

    start_unix_s: float
    duration_s: float
    state: BlockState
    file: str | None
    line: int | None
    function: str | None
    library: str | None
    task: str | None
    in_collection: bool
    starved_s: float
    cpu_share: float | None


MOST_BLOCKS = 50


def blocks_json(blocks: Iterable[LoopBlock]) -> tuple[BlockJson, ...]:
    """The first blocks as documents list them."""
    return tuple(
        BlockJson(
            start_unix_s=each.start_ns / 1e9,
            duration_s=(each.end_ns - each.start_ns) / 1e9,
            state=each.state,
            file=None if each.line is None else each.line.file,
            line=None if each.line is None else each.line.number,
            function=None if each.line is None else each.line.function,
            library=each.library,
            task=each.task,
            in_collection=each.in_collection,
            starved_s=each.starved_ns / 1e9,
            cpu_share=each.cpu_share,
        )
        for each in islice(blocks, MOST_BLOCKS)
    )


def encode(
    document: msgspec.Struct,
    *,
    indent: int | None = 2,
    enc_hook: Callable[[Any], Any] | None = None,
) -> str:
    """The JSON of a document, on one line without an indent.

    It is ASCII, because a terminal need not take UTF-8, and because the names in a foreign trace
    may hold lone surrogates, which msgspec's own encoder refuses.
    """
    content = msgspec.to_builtins(document, enc_hook=enc_hook)
    if indent is None:
        return json.dumps(content)
    try:
        # Python's encoder is quick only without an indent.
        return msgspec.json.format(json.dumps(content), indent=indent)
    except msgspec.DecodeError:  # a lone surrogate
        return json.dumps(content, indent=indent)


def json_schema(*types: type[msgspec.Struct], hook: SchemaHook | None = None) -> dict[str, Any]:
    """The JSON schema of a document that is of one of these types."""
    bodies, definitions = schema_parts(types, "#/$defs/{name}", hook)
    body = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
    return {"$schema": _DIALECT, **body, "$defs": definitions}


def schema_parts(
    types: Iterable[type[msgspec.Struct]], ref_template: str, hook: SchemaHook | None = None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """References to the schemas of documents, and by name what they refer to.

    `ref_template` says how a reference is written, with `{name}` in it.
    """
    references, definitions = msgspec.json.schema_components(
        types, schema_hook=hook, ref_template=ref_template
    )
    for each in definitions.values():
        if "description" in each:
            each["description"] = cleandoc(each["description"])
    return list(references), _without_tuples(definitions)


def _without_tuples(schema: Any) -> Any:
    """The schema with arrays of a length in place of tuples, which generators of clients refuse."""
    if isinstance(schema, list):
        return [_without_tuples(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {name: _without_tuples(each) for name, each in schema.items()}
    if plain.get("items") is False and "prefixItems" in plain:
        kinds = plain.pop("prefixItems")
        different = [each for n, each in enumerate(kinds) if each not in kinds[:n]]
        plain["items"] = different[0] if len(different) == 1 else {"anyOf": different}
    return plain
