"""Functions of a trace that are computed once for each trace."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from trading_graph.otel.trace.table import SpanTable

_Arguments = ParamSpec("_Arguments")
_Value = TypeVar("_Value")

_UNKNOWN: Any = object()


def once_per_trace(
    function: Callable[Concatenate[SpanTable, _Arguments], _Value],
) -> Callable[Concatenate[SpanTable, _Arguments], _Value]:
    """Keep on a trace what a function finds there, by its other arguments, which are hashable.

    An argument given by position and one given by name are two: give it in one way.
    """

    @wraps(function)
    def kept(trace: SpanTable, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Value:
        # Mostly without keywords: joining the two takes longer than the look-up.
        key = (function, args, *kwargs.items()) if kwargs else (function, args)
        memo = trace.memo
        value: _Value = memo.get(key, _UNKNOWN)
        if value is _UNKNOWN:
            value = memo[key] = function(trace, *args, **kwargs)
        return value

    return kept
