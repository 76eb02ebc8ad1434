"""The analysts: each is one self-contained node with its own loop of LLM turns and tool calls.

Separate nodes for analyst and tools would meet LangGraph's superstep barrier: a fast analyst's
tools would wait for the slowest analyst's turn. The last turn offers no tools, so no loop is
endless.
"""

from collections.abc import Mapping

from langchain_core.messages import BaseMessage
from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.agent import agent_span
from trading_graph.graph.chat.call import converse
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.chat.models import function_schema
from trading_graph.graph.context import Node, RunContext
from trading_graph.graph.errors import BadModelAnswerError
from trading_graph.graph.evidence import evidence_of, gaps_of, substitutes_of, warnings_of
from trading_graph.graph.state import Report, State
from trading_graph.graph.tool_calls import ToolAnswer, run_tool_calls, tool_calls_of
from trading_graph.toolkit.tools import TOOLS, Tool

TOOLS_OF: Mapping[str, tuple[str, ...]] = {
    "market_analyst": ("get_prices", "get_indicators"),
    "social_analyst": ("get_attention", "get_posts"),
    "news_analyst": ("get_company_events", "get_insiders", "get_macro", "get_news"),
    "fundamentals_analyst": (
        "get_income_statement",
        "get_balance_sheet",
        "get_cash_flow",
        "get_ratios",
    ),
}
"""The tools of each analyst; a run offers those whose data has a source for its date."""


def analyst(name: str) -> Node:
    """The node of one analyst."""

    async def node(state: State, runtime: Runtime[RunContext]) -> State:
        context = runtime.context
        # The run's mode and date alone decide, so the offer is the same on every attempt.
        tools = {
            tool: TOOLS[tool]
            for tool in TOOLS_OF[name]
            if TOOLS[tool].available(context.toolkit, context.options.as_of)
        }
        async with agent_span(name, runtime, dispatcher=state["dispatcher"]):
            return await _report(name, tools, context)

    return node


async def _report(name: str, tools: Mapping[str, Tool], context: RunContext) -> State:
    options, models = context.options, context.models
    messages: list[BaseMessage] = prompts.analyst_messages(name, options)
    answers: list[ToolAnswer] = []
    schemas = [
        function_schema(tool.name, tool.description, tool.arguments) for tool in tools.values()
    ]
    for turn in range(1, options.analyst_turns + 1):
        last = turn == options.analyst_turns
        answer = await converse(
            models.quick,
            messages,
            agent=name,
            turn=turn,
            spending=context.spending,
            offer=Offer(schemas, withheld=last),
        )
        messages.append(answer)
        calls = tool_calls_of(answer)
        if not calls:
            break
        if last:
            raise BadModelAnswerError(
                f"{name}: model {models.service.quick} asked for tools in its last turn, where "
                "none are on offer; raise --analyst-turns or use a model that follows instructions."
            )
        async with context.spending.in_time(name):
            turn_answers = await run_tool_calls(
                calls,
                tools,
                toolkit=context.toolkit,
                symbol=options.symbol,
                as_of=options.as_of,
                turn=turn,
                order=options.tools,
            )
        answers += turn_answers
        messages += [each.message for each in turn_answers]
    return {
        "reports": [Report(name, answer.text.strip(), evidence=evidence_of(answers))],
        "warnings": warnings_of(name, options.symbol, answers),
        "substitutes": substitutes_of(name, answers),
        "gaps": gaps_of(
            name, answers, [tool for tool in TOOLS_OF[name] if tool not in tools], options.as_of
        ),
        "sources": [use for answer in answers for use in answer.sources],
    }
