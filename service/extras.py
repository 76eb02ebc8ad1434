"""The installed distribution, as its own metadata describes it: its version and its extras.

Only a command that needs an extra asks whether it is there. Nothing here repeats what
pyproject.toml lists.
"""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version

import click

from trading_graph.service.exit_codes import ExitCode

_OURS = "trading-graph"
_FEW = 3

VERSION = version(_OURS)

# What build back ends write: `curl-cffi>=0.16; extra == "run"`, `trading-graph[langsmith]; ...`.
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)\s*(?:\[(?P<extras>[^\]]*)\])?")
# A requirement with a further condition is not for every machine; it is never reported.
_EXTRA = re.compile(r"""\s*extra\s*==\s*["'](?P<extra>[\w.-]+)["']\s*""")


class MissingExtraError(click.ClickException):
    """A command needs an extra that is not installed; the message says what to type."""

    exit_code = ExitCode.USAGE


def require_extra(what: str, extra: str) -> None:
    """Raise MissingExtraError unless the extra that a command needs is installed."""
    missing = missing_distributions(extra)
    if missing:
        names = f" (missing: {', '.join(missing)})" if len(missing) <= _FEW else ""
        raise MissingExtraError(
            f"{what} needs the extra [{extra}]{names}: pip install '{_OURS}[{extra}]'"
        )


def missing_distributions(extra: str) -> tuple[str, ...]:
    """The names of an extra's distributions that are not installed."""
    names = _distributions(extra, requires(_OURS) or [], set())
    return tuple(name for name in sorted(set(names)) if not _is_installed(name))


def _distributions(extra: str, lines: list[str], seen: set[str]) -> Iterator[str]:
    """The distributions of an extra, and of the extras that it refers to."""
    seen.add(extra)
    for line in lines:
        requirement, _, marker = line.partition(";")
        of = _EXTRA.fullmatch(marker)
        match = _REQUIREMENT.match(requirement)
        if of is None or of["extra"] != extra or match is None:
            continue
        if match["name"].lower().replace("_", "-") != _OURS:
            yield match["name"]
            continue
        for other in (each.strip() for each in (match["extras"] or "").split(",")):
            if other not in seen:
                yield from _distributions(other, lines, seen)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
