"""The line of portfolios and ticker-days in the database, which DBOS keeps.

A workflow is a portfolio or a ticker-day. Its id is that of the portfolio or of the run, so that
nothing is in line twice. It belongs to a version of this program: a worker of another version does
not take it. Only DBOS's public interface is used here. All functions block, and raise
PortfolioError where the database does not answer.
"""

import contextlib
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import sqlalchemy as sa
from dbos import DBOSClient, EnqueueOptions, WorkflowStatus
from dbos import error as dbos_error

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.durable.database import Database

APPLICATION = "trading-graph"
PORTFOLIOS, TICKER_DAYS = "portfolios", "ticker-days"
"""The lines. A portfolio's workflow has no runs of its own, so it takes no slot from those.

DBOS hands nothing out of the line of ticker-days: a worker moves what it does into one of its own.
"""

PORTFOLIO_WORKFLOW, TICKER_DAY_WORKFLOW = "portfolio", "ticker_day"
_LINES = {PORTFOLIO_WORKFLOW: PORTFOLIOS, TICKER_DAY_WORKFLOW: TICKER_DAYS}
_OF = f"{TICKER_DAYS} of "
_POLL_S = 0.2
"""How often a worker looks for ticker-days that it has claimed; each look is two transactions."""
_PORTFOLIO_POLL_S = 0.5
_PORTFOLIOS_AT_ONCE = 50


class WorkState(StrEnum):
    """The states of a workflow that is not over, by DBOS's names."""

    IN_LINE = "ENQUEUED"
    UNDER_WAY = "PENDING"


@dataclass(frozen=True, slots=True)
class Work:
    """A workflow that is not over; `worker` is who has it, or had it last."""

    workflow_id: str
    name: str
    state: WorkState
    worker: str
    version: str


class WorkQueue:
    """The line of a database, for who puts work into it and who looks at it."""

    def __init__(self, database: Database, client: DBOSClient) -> None:
        self.database = database
        self._client = client

    @classmethod
    @contextlib.contextmanager
    def of(cls, database: Database) -> Iterator[Self]:
        """Open the line of a database that is prepared; raises PortfolioError."""
        with _answering(database):
            client = DBOSClient(
                system_database_url=database.dbos_url,
                application_name=APPLICATION,
                retry_connection_errors=False,
                system_database_pool_size=2,
            )
        try:
            yield cls(database, client)
        finally:
            client.destroy()

    def add_portfolio(self, portfolio_id: str, version: str) -> None:
        """Put a portfolio into the line, unless it is there already or was."""
        self._add(PORTFOLIO_WORKFLOW, portfolio_id, version, portfolio_id)

    def add_ticker_days(self, portfolio_id: str, run_ids: Iterable[str], version: str) -> None:
        """Put ticker-days of a portfolio into the line, unless they are there already or were."""
        for run_id in run_ids:
            self._add(TICKER_DAY_WORKFLOW, run_id, version, portfolio_id, run_id)

    def _add(self, name: str, id_: str, version: str, *arguments: str) -> None:
        options = EnqueueOptions(
            workflow_name=name,
            queue_name=_LINES[name],
            workflow_id=workflow_id(id_),
            app_version=version,
        )
        with _answering(self.database):
            self._client.enqueue(options, *arguments)

    def unfinished(self, workflow_ids: Sequence[str] | None = None) -> list[Work]:
        """What is in line or under way: all of it, or of these workflows."""
        if workflow_ids is not None and not workflow_ids:
            return []  # which DBOS takes for all
        return self._listed(
            status=[state.value for state in WorkState],
            workflow_ids=None if workflow_ids is None else list(workflow_ids),
        )

    def ended(self, run_ids: Iterable[str]) -> set[str]:
        """Those of these runs whose work in the database is over, however it ended."""
        ids = {workflow_id(run_id): run_id for run_id in run_ids}
        with _answering(self.database):
            rows = self._client.list_workflows(
                workflow_ids=list(ids), load_input=False, load_output=False
            )
        states = set(WorkState)
        return {ids[row.workflow_id] for row in rows if row.status not in states}

    def under_way(self) -> list[Work]:
        """What is under way."""
        return self._listed(status=WorkState.UNDER_WAY.value)

    def claimed(self, worker: str) -> list[Work]:
        """What is in the line of a worker and has not begun."""
        return self._listed(status=WorkState.IN_LINE.value, queue_name=line_of(worker))

    def held(self, worker: str) -> list[Work]:
        """What is in the line of a worker, and what has begun of that and is not over."""
        states = [state.value for state in WorkState]
        return self._listed(status=states, queue_name=line_of(worker))

    def left_by(self, worker: str) -> list[Work]:
        """What a worker has under way, and what it has claimed."""
        mine = self._listed(status=WorkState.UNDER_WAY.value, executor_id=worker)
        return mine + self.claimed(worker)

    def open_lines(self, worker: str) -> None:
        """Declare the lines that a worker takes from: that of portfolios, and its own."""
        with _answering(self.database):
            self._client.register_queue(
                PORTFOLIOS,
                worker_concurrency=_PORTFOLIOS_AT_ONCE,
                polling_interval_sec=_PORTFOLIO_POLL_S,
            )
            self._client.register_queue(line_of(worker), polling_interval_sec=_POLL_S)

    def close_line(self, worker: str) -> None:
        """Forget the line of a worker that is gone, in which nothing is."""
        with _answering(self.database):
            self._client.delete_queue(line_of(worker))

    def workers(self) -> set[str]:
        """The workers that have a line; some may be dead."""
        return {name.removeprefix(_OF) for name in self._lines_of_workers()}

    def _lines_of_workers(self) -> list[str]:
        with _answering(self.database):
            queues = self._client.list_queues()
        return [each.name for each in queues if each.name.startswith(_OF)]

    def has_waiting(self, version: str) -> bool:
        """Whether a ticker-day waits that nobody has claimed."""
        return bool(self._waiting(version, 1))

    def claim(self, worker: str, version: str, most: int, in_all: int | None) -> list[str]:
        """Move ticker-days into the line of a worker, and return the ids of their workflows.

        No more than so `most`, and none beyond `in_all` with what all workers have. Nobody else may
        claim meanwhile.
        """
        if in_all is not None:
            states = [state.value for state in WorkState]
            had = self._listed(status=states, queue_name=self._lines_of_workers())
            most = min(most, in_all - len(had))
        ids = [work.workflow_id for work in self._waiting(version, most)] if most > 0 else []
        if ids:
            with _answering(self.database):
                self._client.resume_workflows(ids, queue_name=line_of(worker))
        return ids

    def _waiting(self, version: str, most: int) -> list[Work]:
        """Those that wait longest."""
        return self._listed(
            status=WorkState.IN_LINE.value,
            queue_name=TICKER_DAYS,
            app_version=version,
            limit=most,
        )

    def _listed(self, **conditions: Any) -> list[Work]:
        with _answering(self.database):
            rows = self._client.list_workflows(**conditions, load_input=False, load_output=False)
        return [_work(row) for row in rows]

    def give_back(self, works: Iterable[Work]) -> None:
        """Put what a worker has left into the line again; what is over stays so."""
        by_line: dict[str, list[str]] = {}
        for work in works:
            by_line.setdefault(_LINES[work.name], []).append(work.workflow_id)
        for line, ids in by_line.items():
            with _answering(self.database):
                self._client.resume_workflows(ids, queue_name=line)

    def remove(self, works: Iterable[Work]) -> None:
        """Take work out of the line for good."""
        ids = [work.workflow_id for work in works]
        if ids:
            with _answering(self.database):
                self._client.cancel_workflows(ids)


def line_of(worker: str) -> str:
    """The name of the line of a worker: what it has claimed, and what it has under way of that."""
    return _OF + worker


def workflow_id(id_: str) -> str:
    """The id of the workflow of a run or a portfolio, which is LangGraph's thread id too."""
    return str(uuid.UUID(id_))


def versions_of(works: Iterable[Work]) -> Counter[str]:
    """How many portfolios and ticker-days wait for, or are with, workers of each version."""
    return Counter(each.version for each in works)


def _work(row: WorkflowStatus) -> Work:
    return Work(
        row.workflow_id,
        row.name,
        WorkState(row.status),
        row.executor_id or "",
        row.app_version or "",
    )


@contextlib.contextmanager
def _answering(database: Database) -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, dbos_error.DBOSException) as error:
        cause = getattr(error, "orig", None) or error
        reason = (str(cause).strip().splitlines() or ["it is silent"])[0]
        raise PortfolioError(
            f"The database {database.name} does not answer: {reason.rstrip('.;')}; see that it is "
            "there, then do the same again."
        ) from None
