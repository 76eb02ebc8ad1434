"""The folders that workers and whoever submits must share, and how a worker knows that they are.

A run's folder is its record. The folder of portfolios has a token, which the database repeats, and
that of runs one that each portfolio repeats; a worker that finds another one, or none, sees another
folder, and does not begin.
"""

import uuid
from pathlib import Path

import msgspec

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.durable.database import TOKEN, Database
from trading_graph.service.portfolio.folder import PortfolioFolder
from trading_graph.service.portfolio.order import PortfolioOrder


class Queued(msgspec.Struct, frozen=True):
    """Where a portfolio was put: the database without a password, and the token of its runs."""

    database: str
    token: str


def share_folders(folder: PortfolioFolder, order: PortfolioOrder, database: Database) -> None:
    """Note that a portfolio is left to the workers of a database; raises OSError."""
    order.out.mkdir(parents=True, exist_ok=True)
    file = order.out / TOKEN
    try:
        with file.open("x") as new:
            new.write(uuid.uuid4().hex)
    except FileExistsError:
        pass
    queued = Queued(database.name, file.read_text())
    folder.mark_queued(msgspec.json.encode(queued).decode() + "\n")


def queued(folder: PortfolioFolder) -> Queued:
    """Where a portfolio was put; raises PortfolioError, or FileNotFoundError if it is gone."""
    try:
        return msgspec.json.decode(folder.queue_file.read_bytes(), type=Queued)
    except msgspec.DecodeError as error:
        raise PortfolioError(f"{folder.queue_file} cannot be read: {error}") from None


def shared_order(folder: PortfolioFolder) -> PortfolioOrder:
    """The order of a portfolio whose folders this worker sees too.

    Raises PortfolioError, or FileNotFoundError where somebody has deleted it.
    """
    token = queued(folder).token
    order = folder.order()
    if _token_of(order.out) != token:
        raise PortfolioError(
            f"{order.out} is not the folder that the portfolio {folder.path.name} has its runs in: "
            "mount that folder at the same place on all machines."
        )
    return order


def _token_of(out: Path) -> str:
    try:
        return (out / TOKEN).read_text()
    except FileNotFoundError:
        return ""
