"""What CI servers read: JUnit XML, and GitHub's workflow commands."""

from collections.abc import Sequence
from enum import Enum
from typing import Literal
from xml.etree import ElementTree

import msgspec

from trading_graph.otel.visible import visible


class CaseEnd(Enum):
    """How a test case ended that did not pass."""

    FAILURE = "failure"
    ERROR = "error"
    SKIPPED = "skipped"


class Case(msgspec.Struct, frozen=True):
    """A test case of a suite; a case without an end passed."""

    name: str
    end: CaseEnd | None = None
    message: str = ""
    text: str | None = None


def junit(name: str, classname: str, cases: Sequence[Case]) -> str:
    """A test suite as a JUnit XML document."""
    ends = [case.end for case in cases]
    root = ElementTree.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(ends.count(CaseEnd.FAILURE)),
        errors=str(ends.count(CaseEnd.ERROR)),
    )
    for case in cases:
        element = ElementTree.SubElement(root, "testcase", classname=classname, name=case.name)
        if case.end is not None:
            end = ElementTree.SubElement(element, case.end.value, message=case.message)
            end.text = case.text
    ElementTree.indent(root)
    # XML has no place for most controls, escaped or not.
    return visible(ElementTree.tostring(root, encoding="unicode", xml_declaration=True))


def annotation(level: Literal["error", "warning", "notice"], title: str, text: str) -> str:
    """A workflow command that shows a text under a title, beside a job on GitHub."""
    return f"::{level} title={_escape_property(title)}::{_escape(text)}"


def _escape(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
