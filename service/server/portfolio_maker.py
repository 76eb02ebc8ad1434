"""Working on the portfolios of a service, on the engine that its runs share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from trading_graph.service.errors import PortfolioError
from trading_graph.service.portfolio.local import LocalEngine
from trading_graph.service.portfolio.order import PortfolioOrder
from trading_graph.service.portfolio.results.report import report_on
from trading_graph.service.run.engine import Engine
from trading_graph.service.run.order import RunOrder
from trading_graph.service.server.portfolio_queue import PortfolioQueue


def begin_portfolios(queue: PortfolioQueue, engine: Engine) -> None:
    """Begin to work on the portfolios of a queue."""

    @asynccontextmanager
    async def opens(order: PortfolioOrder) -> AsyncIterator[Engine]:
        _check(order, engine)
        # Its runs can be left without those that the service makes beside them.
        yield engine.part()

    settings = engine.settings
    queue.begin(LocalEngine(settings.portfolios, opens), partial(report_on, settings=settings))


def _check(order: PortfolioOrder, engine: Engine) -> None:
    """Refuse a portfolio that other back ends began; raises PortfolioError."""
    choice = engine.backends.choice
    request = order.run_request(order.ticker_days[0])
    now = RunOrder.of(request, choice, engine.langsmith)
    if (order.models, order.data) != (now.models, now.data):
        raise PortfolioError(
            f"The portfolio {order.id} began with other models or other data than the service "
            "has; start the service with its settings, or begin it anew with again."
        )
    if order.out.absolute() != engine.out.absolute():
        raise PortfolioError(
            f"The runs of the portfolio {order.id} are in {order.out}, and those of this service "
            f"in {engine.out}; start one there with --out, or begin it anew with again."
        )
