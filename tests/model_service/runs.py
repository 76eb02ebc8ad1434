"""Whole analyses of NVDA as of 2025-11-14 by the engine, against the service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from tests.model_service.records import Record
from tests.model_service.service import LoopbackService
from trading_graph.graph.analysis import Analysis
from trading_graph.graph.backend_choice import BackendChoice, ModelService, TimeLimits
from trading_graph.graph.decisions import Action
from trading_graph.graph.options import ANALYSTS, DEBATERS, DECIDERS, RISK_ANALYSTS
from trading_graph.otel.redaction import Redactor
from trading_graph.otel.sources import read
from trading_graph.otel.spans import uuid7
from trading_graph.otel.trace import Event, SpanTable
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.run.engine import Engine, open_engine
from trading_graph.service.run.request import RunRequest
from trading_graph.service.settings import Settings
from trading_graph.toolkit.loopback import LoopbackServer

KEY = "sk-loopback-0123456789abcdef"
QUICK, DEEP = "quick-model", "deep-model"

CALLS = 2 * len(ANALYSTS) + len(DEBATERS) + len(RISK_ANALYSTS) + len(DECIDERS)
"""The requests of a run where nothing goes wrong: an analyst asks twice."""


def name(habit: Enum) -> str:
    """The habit's name, for the name of a test."""
    return habit.name.lower()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run: its analysis or its error, its trace, its report, and the record.

    `report` is the text that it left for people; empty without one.
    """

    analysis: Analysis | None
    error: Exception | None
    trace: SpanTable
    report: str
    record: Record

    @property
    def made(self) -> Analysis:
        """The analysis of a run that has one."""
        assert self.analysis is not None, repr(self.error)
        return self.analysis

    @property
    def action(self) -> Action:
        """The decision."""
        return self.made.decision.decision.action

    @property
    def is_sound(self) -> bool:
        """Whether the run decided as the offline model does, from all reports."""
        decision = self.made.decision
        return self.action is Action.BUY and not decision.degraded and not decision.warnings

    @property
    def words(self) -> str:
        """All that the run says of what went wrong."""
        if self.error is not None:
            return str(self.error)
        return "\n".join(self.made.decision.warnings)

    @property
    def says_one_sentence(self) -> bool:
        """Whether the words are one sentence without anything from inside Python."""
        words = self.words
        return "\n" not in words and words.endswith(".") and "NoneType" not in words

    @property
    def counts_tokens(self) -> bool:
        """Whether the run counts the tokens that the service counts."""
        usage = self.made.usage
        inputs, outputs = (
            (each.input_tokens for each in usage),
            (each.output_tokens for each in usage),
        )
        return (sum(inputs), sum(outputs)) == self.record.tokens

    @property
    def counts_requests(self) -> bool:
        """Whether the run counts all requests, those in vain included."""
        return sum(each.requests for each in self.made.usage) == len(self.record)

    @property
    def texts(self) -> list[str]:
        """What the agents wrote for people."""
        made = self.made
        reports = [report.text for report in made.reports]
        return reports + [said.text for said in (*made.statements, *made.opinions)]

    def events(self, name: str) -> list[Event]:
        """The events of this name on the run's spans."""
        rows = range(len(self.trace))
        return [each for row in rows for each in self.trace.events(row) if each.name == name]

    @property
    def prompts(self) -> list[str]:
        """What the run told the models, without what it had to send back."""
        return [
            str(message.get("content"))
            for exchange in self.record
            for message in exchange.messages
            if message.get("role") in ("system", "user", "developer")
        ]


class Runs:
    """Makes runs, each in an engine of its own; `folder` holds all that they write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __call__(
        self,
        service: LoopbackService,
        *,
        base: str = "/v1",
        limits: TimeLimits | None = None,
        **options: Any,
    ) -> Outcome:
        """Run one analysis; `base` is the path of the base URL, `options` are those of a run."""
        async with self.engine(service, base=base, limits=limits) as engine:
            return await run_once(engine, service, **options)

    @asynccontextmanager
    async def engine(
        self, service: LoopbackService, *, base: str = "/v1", limits: TimeLimits | None = None
    ) -> AsyncIterator[Engine]:
        """An engine whose models are the service's."""
        server = LoopbackServer(service.make_app)
        await asyncio.to_thread(server.start)
        try:
            choice = BackendChoice(
                model=ModelService(
                    server.url + base,
                    SecretStr(KEY),
                    QUICK,
                    DEEP,
                    limits=limits or TimeLimits(),
                ),
                fetch_latency_s=0,
            )
            settings = await asyncio.to_thread(Settings, spool=self._folder / "spool")
            redactor = Redactor([KEY], environment={})
            async with open_engine(
                settings, choice, self._folder, redactor, LangSmithMode.OFF
            ) as engine:
                yield engine
        finally:
            await asyncio.to_thread(server.stop)


async def run_once(engine: Engine, service: LoopbackService, **options: Any) -> Outcome:
    """Run one analysis by the engine."""
    request = RunRequest(**{"symbol": "NVDA", "date": "2025-11-14"} | options)
    run_id = uuid7()
    analysis: Analysis | None = None
    error: Exception | None = None
    try:
        analysis, _ = await engine.run(request, run_id=run_id)
    except Exception as raised:
        error = raised
    folder = engine.out / run_id.hex
    (trace,) = await asyncio.to_thread(read, folder / "trace.jsonl")
    report = await asyncio.to_thread(_text, folder / "report.md")
    return Outcome(analysis, error, trace, report, service.record)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
