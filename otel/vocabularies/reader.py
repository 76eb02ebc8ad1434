"""What can be read of a span, and the attributes without which there is nothing to read."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

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
