"""Annotations on GitHub: workflow commands, one a line of a job's output."""

from typing import Literal


def annotation(level: Literal["error", "warning", "notice"], title: str, text: str) -> str:
    """A workflow command that shows a text under a title."""
    return f"::{level} title={_property(title)}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
