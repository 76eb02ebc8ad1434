"""JUnit XML, which every CI server reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from xml.etree import ElementTree


class Kind(Enum):
    """How a case ended, where it did not pass."""

    FAILURE = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a suite; one without a kind passed."""

    name: str
    kind: Kind | None = None
    message: str = ""
    text: str | None = None


def suite(name: str, classname: str, cases: Sequence[Case]) -> str:
    """A test suite as a document."""
    kinds = [case.kind for case in cases]
    root = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(kinds.count(Kind.FAILURE)),
        errors=str(kinds.count(Kind.ERROR)),
    )
    for case in cases:
        element = ElementTree.SubElement(root, "testcase", classname=classname, name=case.name)
        if case.kind is not None:
            ending = ElementTree.SubElement(element, case.kind.value, message=case.message)
            ending.text = case.text
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
