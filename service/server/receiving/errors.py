"""What can be wrong with what the receiver is sent."""


class MalformedMessageError(Exception):
    """A body that is no message of spans; the sentence says what to send."""


class MessageTooLargeError(Exception):
    """A body that is too large once it is unpacked."""


class ReceiverBusyError(Exception):
    """More spans wait than are held; `retry_after_s` is when there is room again."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"More spans wait than are held; send again in {retry_after_s} s.")
        self.retry_after_s = retry_after_s
