"""What can go wrong with market data.

Every message is one sentence that ends with what to do next.

    DataError                           every error below
    ├── BadRequestError                 the caller asked for something impossible (usage)
    │   ├── BadSymbolError              not a ticker symbol
    │   ├── BadDateError                not a date that can be analysed
    │   └── UnknownSymbolError          well-formed, but no source knows it
    ├── NoDataError                     the source has nothing for this symbol at this date
    │   └── NotApplicableError          nobody can have it: a currency has no statements
    └── SourceUnavailableError          the source did not answer, or not properly
        ├── HttpStatusError             the source answered with a status that is not success
        ├── RateLimitError              the source answered 429
        ├── SourceTimeoutError          the source was too slow; a TimeoutError too
        ├── SourcePausedError           the source failed so often that it gets no requests
        └── BadAnswerError              the answer is not in the source's format
"""


class DataError(Exception):
    """There is no market data to answer with."""


class BadRequestError(DataError):
    """The caller asked for something that no source can have."""


class BadSymbolError(BadRequestError):
    """The text is not a ticker symbol."""


class BadDateError(BadRequestError):
    """The date cannot be analysed: malformed, in the future, or before the data."""


class UnknownSymbolError(BadRequestError):
    """The symbol is well-formed, but the source does not know it."""


class NoDataError(DataError):
    """The source has nothing for this symbol at this date."""


class NotApplicableError(NoDataError):
    """Such an instrument has nothing of this kind by nature, so that nothing is missing."""


class SourceUnavailableError(DataError):
    """The source did not answer in time, or not with success.

    `transient` says that a retry may help; `retry_after_s` is the pause that the source asks for.
    """

    def __init__(
        self, message: str, *, transient: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.transient = transient
        self.retry_after_s = retry_after_s


class HttpStatusError(SourceUnavailableError):
    """The source answered with a status other than success; `body` may say why."""

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


class RateLimitError(SourceUnavailableError):
    """The source refused the request because there were too many."""


class SourceTimeoutError(SourceUnavailableError, TimeoutError):
    """The source, or the way to it, was too slow."""


class SourcePausedError(SourceUnavailableError):
    """The source failed so often that it gets no requests for `retry_after_s`.

    `refusal` says that its last failure was to refuse who asked (429): it may answer another.
    """

    def __init__(self, message: str, *, retry_after_s: float, refusal: bool = False) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.refusal = refusal


class BadAnswerError(SourceUnavailableError):
    """The source's answer is not in its documented format."""
