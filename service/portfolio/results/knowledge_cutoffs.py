"""What a model may have known of the days after a decision: the cutoffs of training data.

A back-test of a date that lies in a model's training data proves little: the model may have read
what came next. The table of cutoffs names a page for each, and knows few models.
"""

import datetime
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

_DATA = "knowledge_cutoffs.toml"


class Knowledge(StrEnum):
    """What is known of a model's knowledge of the days after a decision."""

    MAY_KNOW = "may know what came next"
    """The date lies in the training data of one of the models."""
    AFTER_CUTOFF = "after the cutoff"
    UNKNOWN = "cutoff unknown"
    RULES = "rules, no model"
    """The offline model: nothing was trained."""


@dataclass(frozen=True, slots=True)
class Cutoff:
    """The newest day of a model's training data, the page that says so, and when it was read."""

    day: datetime.date
    page: str
    read_on: datetime.date


def cutoff_of(model: str) -> Cutoff | None:
    """The known cutoff of a model, with or without its maker's name before a slash."""
    name = model.rpartition("/")[2].lower()
    return next(
        (
            cutoff
            for patterns, cutoff in _table()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
        ),
        None,
    )


def knowledge_of(models: Sequence[str], day: datetime.date) -> Knowledge:
    """What these models may know of what came after a day; no models stand for rules."""
    if not models:
        return Knowledge.RULES
    cutoffs = [cutoff_of(model) for model in models]
    if any(cutoff is not None and day <= cutoff.day for cutoff in cutoffs):
        return Knowledge.MAY_KNOW
    return Knowledge.UNKNOWN if None in cutoffs else Knowledge.AFTER_CUTOFF


@cache
def _table() -> Sequence[tuple[tuple[str, ...], Cutoff]]:
    data = tomllib.loads(files(__package__).joinpath(_DATA).read_text("utf-8"))
    return [
        (tuple(each["patterns"]), Cutoff(each["cutoff"], each["page"], each["read_on"]))
        for each in data["model"]
    ]
