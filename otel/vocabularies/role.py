"""What a span stands for."""

from enum import StrEnum


class Role(StrEnum):
    """What a span stands for in a program of agents; gate files use these names."""

    RUN = "run"
    DISPATCH = "dispatch"
    JOIN = "join"
    AGENT = "agent"
    CHAIN = "chain"
    LLM = "llm"
    TOOL = "tool"
    RETRIEVAL = "retrieval"
    FETCH = "fetch"
    PREFETCH = "prefetch"
    INTERRUPTION = "interruption"
    HTTP = "http"
    RPC = "rpc"
    DATABASE = "database"
    MESSAGING = "messaging"
    OTHER = "other"

    # Enum.__hash__ is a Python function, which is slow for a look-up per span.
    __hash__ = str.__hash__
