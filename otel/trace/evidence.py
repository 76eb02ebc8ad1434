"""What a statement about a trace rests on."""

from enum import StrEnum


class Evidence(StrEnum):
    """The ground of a statement; only the first four can prove what times merely suggest.

    RECORDED is what spans carry: times, counts, errors, lag, waits. DECLARED is what the program
    says of its own structure: a step of LangGraph, the ids of an answer's tool calls, a link to a
    dispatcher. SEEN is what another run of the program shows, SHOWN what an intervention shows.
    INFERRED follows from comparing times, and from nothing else.
    """

    RECORDED = "recorded"
    DECLARED = "declared"
    SEEN = "seen in another run"
    SHOWN = "shown by intervention"
    INFERRED = "inferred from times"

    @property
    def proves(self) -> bool:
        """Whether a statement on this ground can be called proven."""
        return self is not _INFERRED


# Named once: it is asked of every turn, and to find a member of an enum takes long in Python 3.11.
_INFERRED = Evidence.INFERRED
