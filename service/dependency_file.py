"""Reads the file of dependencies that a command line names."""

from pathlib import Path

from trading_graph.otel.errors import DependenciesError
from trading_graph.otel.trace.dependencies import Dependencies


def read_dependencies(file: str | None) -> Dependencies | None:
    """The dependencies of a file, or None without one; raises DependenciesError."""
    if file is None:
        return None
    try:
        return Dependencies.from_json(Path(file).read_bytes())
    except OSError as error:
        raise DependenciesError(f"{file} cannot be read: {error.strerror or error}.") from None
    except DependenciesError as error:
        raise DependenciesError(f"{file} cannot be used. {error}") from None
