"""The language of the program that made a span, from the attributes of its resource."""

from enum import StrEnum

from trading_graph.otel.vocabularies.values import Attributes


class Language(StrEnum):
    """A language in which advice can be given."""

    PYTHON = "python"
    NODE = "node"
    GO = "go"
    JAVA = "java"
    DOTNET = "dotnet"
    OTHER = "other"


_LANGUAGES = {
    "python": Language.PYTHON,
    "nodejs": Language.NODE,
    "webjs": Language.NODE,
    "go": Language.GO,
    "java": Language.JAVA,
    "dotnet": Language.DOTNET,
}


def language(resource: Attributes) -> Language | None:
    """The language of a resource; None where it is not recorded."""
    name = resource.get("telemetry.sdk.language")
    return _LANGUAGES.get(name, Language.OTHER) if isinstance(name, str) and name else None
