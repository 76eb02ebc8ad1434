"""What can go wrong in making, sending, reading and judging traces.

JudgeError
├── GateError
└── TraceError
    ├── AnswerTooLarge
    └── BadExporterSettings
"""


class JudgeError(Exception):
    """A trace cannot be read, judged, diagnosed or compared; the message is one sentence."""


class GateError(JudgeError, ValueError):
    """A gate cannot be used.

    Where it is known, `reason` is the sentence without its beginning, and `place` says where in the
    gate, as a path such as `$.checks[2].id`. A ValueError, because msgspec passes these on.
    """

    def __init__(self, sentence: str, reason: str = "", place: str = "") -> None:
        super().__init__(sentence)
        self.reason = reason
        self.place = place


class TraceError(JudgeError):
    """A trace could not be written, sent or read."""


class BadExporterSettings(TraceError):
    """The OTEL_* variables ask for a way of sending that there is not."""


class AnswerTooLarge(TraceError):
    """A backend answers more than is read."""
