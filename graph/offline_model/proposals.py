"""The structured answers of earlier agents, as the prompt carries them on."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from trading_graph.graph.decisions import ResearchPlan, TradeProposal
from trading_graph.graph.offline_model.conversation import BadConversation, Conversation

_Answer = TypeVar("_Answer", bound=BaseModel)


def read_plan(conversation: Conversation) -> ResearchPlan:
    """The research manager's plan, or BadConversation."""
    return _read(conversation, "plan", ResearchPlan)


def read_proposal(conversation: Conversation) -> TradeProposal:
    """The trader's proposal, or BadConversation."""
    return _read(conversation, "proposal", TradeProposal)


def _read(conversation: Conversation, tag: str, model: type[_Answer]) -> _Answer:
    text = conversation.json_block(tag)
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise BadConversation(
            f"The <{tag}> block of {conversation.agent} is no {model.__name__}: {where}: "
            f"{first['msg']}; send that agent's answer as it was."
        ) from error
