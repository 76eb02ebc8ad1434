"""The errors of making, sending, reading and judging traces.

JudgeError
├── DependenciesError
├── GateError
└── TraceError
    ├── AnswerTooLargeError
    └── ExporterSettingsError
"""


class JudgeError(Exception):
    """A trace cannot be read, judged, diagnosed or compared; the message is one sentence."""


class DependenciesError(JudgeError):
    """The dependencies of a program cannot be used."""


class GateError(JudgeError, ValueError):
    """A gate cannot be used.

    Where they are known, `reason` is the sentence without its beginning, and `place` is the place
    in the gate, a path such as `$.checks[2].id`. It is a ValueError because msgspec passes those
    on.
    """

    def __init__(self, sentence: str, reason: str = "", place: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason
        self.place = place


class TraceError(JudgeError):
    """A trace could not be written, sent or read."""


class ExporterSettingsError(TraceError):
    """The OTEL_* variables describe a way of sending that does not exist."""


class AnswerTooLargeError(TraceError):
    """The answer of a backend is larger than the limit for reading it."""
