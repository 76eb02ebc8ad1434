"""A chat service on loopback that behaves as today's OpenAI-compatible services do.

Each habit of a service is a switch, and switches combine: `LoopbackService(Demand.NO_NAMED_CHOICE,
Framing.NO_INDEX)`. The answers are those of the offline model, so the right decision is known:
NVDA as of 2025-11-14 is a BUY. The service is as strict as the real ones: it refuses what they
refuse, in their words, and it records every request.

    demands.py    what a service wants in a request or does not want; refusals.py: its words
    framings.py   how an answer looks on the wire
    wordings.py   how a model writes a decision down
    failures.py   what goes wrong with a request, and when
    service.py    the server, with its record of the requests
"""

from tests.model_service.demands import Demand
from tests.model_service.failures import Failing, Failure, RateLimit
from tests.model_service.framings import Framing
from tests.model_service.service import Later, LoopbackService, Only, Pace
from tests.model_service.wordings import Wording

__all__ = [
    "Demand",
    "Failing",
    "Failure",
    "Framing",
    "Later",
    "LoopbackService",
    "Only",
    "Pace",
    "RateLimit",
    "Wording",
]
