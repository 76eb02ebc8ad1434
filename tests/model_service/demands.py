"""What a service wants in a request or does not want.

The threads named are public; the words of the refusals (`refusals.py`) follow them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Demand(StrEnum):
    """A rule for requests; the first part is from facts/models.md, the rest is not in its table."""

    NO_NAMED_CHOICE = "no named tool_choice"
    """DeepSeek's thinking mode refuses the object form of tool_choice (DeepSeek-V3 #1376)."""
    NO_OBJECT_CHOICE = "tool_choice is text"
    """LM Studio takes texts only (lmstudio-bug-tracker #670)."""
    NO_FORCED_CHOICE = "no forced tool_choice"
    """A thinking model that calls tools of its own accord only (TradingAgents #678)."""
    NO_TOOLS = "no tools"
    """Ollama: a model whose template knows no tools (ollama #6027)."""
    NO_STREAM_OPTIONS = "no stream_options"
    """Databricks and old proxies (openai-agents-python #442, opencode #4698)."""
    FORBIDDEN_STREAM_OPTIONS = "stream_options forbidden"
    """Older Mistral: 422 with pydantic's details; it tells the usage without being asked."""
    NO_USER_AFTER_TOOL = "no user after tool"
    """Mistral (zed #37021)."""
    REASONING_BACK = "reasoning goes back"
    """DeepSeek V4: `reasoning_content` goes back with the tool calls (TradingAgents #599)."""
    SIGNATURE_BACK = "signature goes back"
    """Gemini 3: the thought signature of the first call goes back (securo #884)."""
    TOOLS_WITH_CALLS = "tools with a history of calls"
    """Bedrock behind LiteLLM (HolmesGPT #394, kibana #246943)."""
    RESPONSES_ONLY = "only v1/responses"
    """OpenAI's pro and codex models."""
    TOOLS_WITHOUT_EFFORT = "tools without reasoning effort"
    """gpt-5.6 on chat/completions (litellm #34569, LibreChat #14355)."""
    OWN_IDS = "ids of tool calls"
    """Each call has an id of its own, and its answer names it (aichat #1296)."""
    TEXT_ARGUMENTS = "arguments are JSON text"
    """DashScope: what goes back as arguments is the text of an object (koog #2095)."""

    NO_SCHEMA_KEYWORDS = "schema keywords"
    """Gemini: unknown names in a function's schema (ax #293, hermes-agent #93014)."""
    NO_PARALLEL_FIELD = "no parallel_tool_calls"
    """OpenAI's o-series (llama_index #20865, fast-agent #279)."""
    NO_NULL_CONTENT = "content is text"
    """mistral-common refuses null content beside tool calls (mistral-common #324)."""
    NO_SYSTEM_ROLE = "no system role"
    """vLLM with Gemma's template (chat-ui #1386, sglang #892)."""
    NO_DEVELOPER_ROLE = "no developer role"
    """DashScope, GLM and most gateways (redmine_ai_helper #242, new-api #5330)."""
    SHORT_IDS = "ids of nine characters"
    """Mistral: `a-z, A-Z, 0-9, with a length of 9` (opencode #1680, magentic #276)."""
    NO_REASONING_BACK = "reasoning is unsupported"
    """Groq sends reasoning, and refuses it in a message (freellmapi #1070, jan #8136)."""
    NO_UNKNOWN_FIELDS = "no unknown fields"
    """A service that validates bodies strictly: 422, `extra_forbidden`."""
    NO_CHOICE_NONE = "no tool_choice none"
    """Bedrock's Converse (boto3 #4687, litellm #24443)."""
    NO_AUTO_CHOICE = "no automatic tool choice"
    """vLLM without a tool parser: tools can be forced, not offered (vllm #9986)."""
    NO_RESPONSE_FORMAT = "no JSON schema"
    """DeepSeek: `This response_format type is unavailable now` (llm-exe #662, Vane #969)."""
    NO_EMPTY_CONTENT = "no empty content"
    """Bedrock refuses an empty text beside tool calls (vercel/ai #13505, Portkey #995)."""
    ALTERNATING = "alternating roles"
    """Templates of Mistral and Gemma: no two messages of a user (vllm #6862, autogen #1037)."""
    DETAILS_BACK = "reasoning_details go back"
    """OpenRouter: put together from their pieces, with their signature (agno #8802)."""
    NO_TEMPERATURE = "temperature is 1"
    """gpt-5: only the default temperature (9router #560)."""
    REASONING_ITEM_BACK = "reasoning item goes back"
    """Responses API: a function call needs its reasoning item (continue #10018, pi #886)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of a service that refuses a request."""

    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Issues:
    """What the service has sent that must come back: by tool call id."""

    reasoning: dict[str, str]
    details: dict[str, list[Json]]
    signatures: dict[str, str]
    items: dict[str, str]
