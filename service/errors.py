"""What can be wrong with how the program is set up, or with what a run left.

SettingsError
NotRecordedError
NotResumableError
StoreUnavailableError
"""


class SettingsError(Exception):
    """The environment or `.env` asks for something that cannot be; the message says what."""


class NotRecordedError(Exception):
    """A run left no complete trace, so nothing can be said of it; the message says why."""


class NotResumableError(Exception):
    """A run cannot be taken up where its process left it; the message says why."""


class StoreUnavailableError(Exception):
    """The service's store cannot be read or written; the message says why and what to do."""
