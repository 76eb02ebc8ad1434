"""What can go wrong with market data.

Every message is one sentence that ends with what to do next.

    DataError                     anything below
    ├── BadRequest                the caller asked for something that cannot be (usage)
    │   ├── BadSymbol             not a ticker symbol
    │   ├── BadDate               not a date that can be analysed
    │   └── UnknownSymbol         well-formed, and no source knows it
    ├── NoData                    the source has nothing for this symbol at this date
    └── SourceUnavailable         the source did not answer, or answered rubbish
        ├── HttpStatus            the source answered with a status that is not success
        ├── RateLimited           the source said 429
        ├── SourceTimeout         the source was too slow; a TimeoutError too
        ├── SourcePaused          it failed so often that it is not asked for a while
        └── BadAnswer             the answer is not in the source's format
"""


class DataError(Exception):
    """Market data could not be had."""


class BadRequest(DataError):
    """The caller asked for something that cannot be had anywhere."""


class BadSymbol(BadRequest):
    """The text is not a ticker symbol."""


class BadDate(BadRequest):
    """The date cannot be analysed: malformed, in the future, or before the data."""


class UnknownSymbol(BadRequest):
    """The symbol is well-formed, and the source does not know it."""


class NoData(DataError):
    """The source has nothing for this symbol at this date."""


class SourceUnavailable(DataError):
    """The source did not answer in time, or not with success.

    `transient` where asking again may help; `retry_after_s` is how long the source itself wants to
    be left alone.
    """

    def __init__(
        self, message: str, *, transient: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.retry_after_s = retry_after_s


class HttpStatus(SourceUnavailable):
    """The source answered with a status other than success; `body` says why where it said so."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: bytes = b"",
        transient: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, transient=transient, retry_after_s=retry_after_s)
        self.status = status
        self.body = body


class RateLimited(SourceUnavailable):
    """The source refused the request because of too many requests."""


class SourceTimeout(SourceUnavailable, TimeoutError):
    """The source, or the way to it, was too slow."""


class SourcePaused(SourceUnavailable):
    """The source failed so often that it is not asked for a while: `retry_after_s`."""


class BadAnswer(SourceUnavailable):
    """The source's answer is not in its documented format."""
