"""An agent that answers once in free text: a debater or a risk analyst."""

import asyncio
from collections.abc import Sequence

from langgraph.runtime import Runtime

from trading_graph.graph import prompts
from trading_graph.graph.chat import converse
from trading_graph.graph.context import RunContext, graph_task
from trading_graph.graph.links import span_context
from trading_graph.graph.state import Statement
from trading_graph.otel import spans


async def speak(
    name: str,
    blocks: Sequence[str],
    round_: int,
    runtime: Runtime[RunContext],
    *,
    dispatcher: str = "",
) -> Statement:
    """Let the agent make its statement on the material, inside its own span and time budget."""
    context = runtime.context
    service = context.models.service
    with spans.agent(
        name,
        dispatcher=span_context(dispatcher),
        provider=service.provider,
        task=graph_task(runtime),
    ):
        async with asyncio.timeout(context.options.agent_budget_s):
            answer = await converse(
                context.models.quick,
                prompts.statement_messages(name, context.options, blocks),
                name=service.quick,
                service=service,
                agent=name,
                turn=1,
                spending=context.spending,
            )
    return Statement(name, round_, answer.text.strip())
