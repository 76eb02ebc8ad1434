"""What is held in a run: valued at the last closes, and what the decision does with it."""

import asyncio
from dataclasses import replace

from trading_graph.graph.decisions import Action, FinalDecision
from trading_graph.graph.holdings import Quote, Valuation, value_portfolio
from trading_graph.graph.options import Options
from trading_graph.graph.order_text import order_words
from trading_graph.graph.sizing import Account, TradeOrder, buy, keep, sell
from trading_graph.graph.state import State
from trading_graph.toolkit.as_of import AsOf
from trading_graph.toolkit.errors import DataError
from trading_graph.toolkit.market_data import AsyncToolkit, PriceLevels
from trading_graph.toolkit.symbols import Instrument, identify


async def value_holdings(toolkit: AsyncToolkit, options: Options, levels: PriceLevels) -> Valuation:
    """What the portfolio is worth as of the run's date, in the currency of the run's symbol.

    The last closes of all that is held are fetched at once; one that cannot be had leaves the value
    unknown.
    """
    symbols = [each.symbol for each in options.holdings.positions]
    quotes = await asyncio.gather(*(_quote(toolkit, each, options.as_of) for each in symbols))
    return value_portfolio(
        options.holdings, dict(zip(symbols, quotes, strict=True)), levels.currency
    )


async def _quote(toolkit: AsyncToolkit, symbol: str, as_of: AsOf) -> Quote | str:
    try:
        bars = await toolkit.bars(symbol, as_of)
    except DataError as error:
        return str(error)
    identity = bars.identity or identify(symbol)
    return Quote(float(bars.close[-1]), bars.currency, identity.instrument)


def account_of(options: Options, state: State) -> Account | None:
    """What an order is sized by; None where nobody said what is held, or before it was valued."""
    levels, valuation = state.get("levels"), state.get("valuation")
    if levels is None or valuation is None:
        return None
    instrument = (
        Instrument(levels.instrument) if levels.instrument else identify(options.symbol).instrument
    )
    holdings = options.holdings
    return Account(
        symbol=options.symbol,
        quote=Quote(levels.close, levels.currency, instrument),
        holding=holdings.of_symbol(options.symbol),
        cash=holdings.cash,
        valuation=valuation,
    )


def order_of(decision: FinalDecision, account: Account | None) -> TradeOrder | None:
    """What the decision does with the holding."""
    if account is None:
        return None
    share_pct = None
    match decision.action:
        case Action.BUY:
            share_pct = decision.position_pct or 0.0
            order = buy(account, share_pct)
        case Action.SELL:
            order = sell(account, decision.sell_pct)
        case Action.HOLD:
            order = keep(account)
    return replace(order, words=order_words(order, account, share_pct))
