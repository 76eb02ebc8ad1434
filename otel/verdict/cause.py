"""Why spans are not proven to have run at once: a value for each cause, and what to do about it."""

from enum import StrEnum
from typing import Self

LOOK = "Look at the listed spans on one time axis."


class Cause(StrEnum):
    """Why a group of spans is serial, in doubt, or cannot be judged; each carries its advice."""

    advice: str

    BLOCKED_LOOP = (
        "blocked_loop",
        "Find the call that blocks (a synchronous client, CPU work) and await it or move it to a "
        "thread.",
    )
    COLD_IMPORT = "cold_import", "Import it before the run starts."
    INTERPRETER_LOCK = (
        "interpreter_lock",
        "Move the CPU work to processes, or to code that releases the lock.",
    )
    CONNECTION_LIMIT = (
        "connection_limit",
        "Raise the connection limit, or ask the source for less.",
    )
    SEMAPHORE = "semaphore", "Raise the limit, or open the span after it was passed."
    EXECUTOR = (
        "executor",
        "Give the executor as many threads as there are branches, or go async.",
    )
    MAX_CONCURRENCY = "max_concurrency", "Raise max_concurrency."
    DISPATCH = "dispatch", "Start them at once: Send for branches, gather for calls."
    BARRIER = (
        "barrier",
        "Give each branch one node (or one subgraph) with a loop of its own.",
    )
    DEPENDENCY = "dependency", "Ask for independent tool calls in one turn."
    BUSY_CPU = "busy_cpu", LOOK
    BUSY_MACHINE = "busy_machine", LOOK
    NOT_RECORDED = "not_recorded", LOOK
    TOO_FEW = "too_few", LOOK
    NO_WORK = "no_work", LOOK
    BROKEN_TREE = (
        "broken_tree",
        "Pass the context on, so that the calls are below the spans that make them.",
    )

    def __new__(cls, code: str, advice: str) -> Self:
        """A member is the string `code`."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.advice = advice
        return member
