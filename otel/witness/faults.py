"""Errors inside the witness: each is counted, the first is logged, none reaches the program."""

import logging

_LOG = logging.getLogger("trading_graph.witness")


class Faults:
    """Counts the witness's own errors."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, error: BaseException) -> None:
        """Count an error; log the first one with its traceback."""
        self.count += 1
        if self.count == 1:
            _LOG.warning(
                "The witness failed to record something; the program goes on. Further faults are "
                "counted and not logged.",
                exc_info=error,
            )


faults = Faults()
