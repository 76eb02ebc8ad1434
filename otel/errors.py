"""What can go wrong in making, sending and reading traces.

TraceError
├── AnswerTooLarge
└── BadExporterSettings
"""


class TraceError(Exception):
    """A trace could not be written, sent or read."""


class BadExporterSettings(TraceError):
    """The OTEL_* variables ask for a way of sending that there is not."""


class AnswerTooLarge(TraceError):
    """A backend answers more than is read."""
