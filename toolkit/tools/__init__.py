"""The tools that agents call: `TOOLS` by name."""

from collections.abc import Mapping
from types import MappingProxyType

from trading_graph.toolkit.tools.filings import GET_COMPANY_EVENTS, GET_INSIDERS
from trading_graph.toolkit.tools.fundamentals import (
    GET_BALANCE_SHEET,
    GET_CASH_FLOW,
    GET_INCOME_STATEMENT,
    GET_RATIOS,
)
from trading_graph.toolkit.tools.macro import GET_MACRO
from trading_graph.toolkit.tools.news import GET_NEWS, GET_POSTS
from trading_graph.toolkit.tools.prices import GET_ATTENTION, GET_INDICATORS, GET_PRICES
from trading_graph.toolkit.tools.tool import Answer, Arguments, SymbolArguments, Tool

TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        tool.name: tool
        for tool in (
            GET_PRICES,
            GET_INDICATORS,
            GET_ATTENTION,
            GET_POSTS,
            GET_COMPANY_EVENTS,
            GET_INSIDERS,
            GET_MACRO,
            GET_NEWS,
            GET_INCOME_STATEMENT,
            GET_BALANCE_SHEET,
            GET_CASH_FLOW,
            GET_RATIOS,
        )
    }
)

__all__ = ["TOOLS", "Answer", "Arguments", "SymbolArguments", "Tool"]
