"""Errors of the setup, and of what a run left behind.

SettingsError
NotRecordedError
NotProbedError
NotResumableError
StoreUnavailableError
  StoreFileGoneError
PortfolioError
BadListError
"""

from trading_graph.toolkit.errors import BadRequestError


class SettingsError(Exception):
    """The environment or `.env` holds a setting that cannot be used; the message says which."""


class NotRecordedError(Exception):
    """A run left no complete trace, so it cannot be measured; the message says why."""


class NotProbedError(Exception):
    """A program cannot be probed: it fails, hangs, or is not repeatable; the message says why."""


class NotResumableError(Exception):
    """A run cannot be resumed where its process left it; the message says why."""


class StoreUnavailableError(Exception):
    """The service's store cannot be read or written; the message says why and what to do."""


class StoreFileGoneError(StoreUnavailableError):
    """The file of the open store was removed, or another one is in its place."""


class PortfolioError(Exception):
    """A portfolio cannot be found, worked on or read; the message says why and what to do."""


class BadListError(BadRequestError):
    """What a portfolio is asked to analyse names nothing that can be analysed."""
