"""How an answer looks on the wire: the chunks of `chat/completions`, as services send them.

The threads named are public.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

from trading_graph.graph.offline_model.protocol import ModelAnswer, OutgoingCall, TokenCount

Json = dict[str, Any]

THOUGHT: Final = "Unspoken deliberation about the matter."
"""What the model thinks: no report and no later prompt may hold it, unless it has to go back."""

ACCENT: Final = "Résumé: naïve, 株価 🌍"
"""Text of characters of two, three and four bytes."""

PIECES: Final = 4
"""Into how many pieces a text is cut."""


class Framing(StrEnum):
    """A form of answers; the first part is from facts/models.md, the rest is not in its table."""

    REASONING = "reasoning_content"
    """DeepSeek, vLLM, llama.cpp: thinking in a field of its own."""
    REASONING_SHORT = "reasoning"
    """OpenRouter, Ollama: the same in a field with another name."""
    SIGNATURE = "thought_signature"
    """Gemini: on the first call of a turn (securo #884)."""
    NO_INDEX = "tool calls without index"
    """Gemini: each call whole in one chunk (open-webui/computer #224)."""
    PLACEHOLDER = "{} before the arguments"
    """Gemini (autogen #7549)."""
    CUMULATIVE_USAGE = "usage in every chunk"
    """vLLM, Ollama: the count so far (langchain #30429)."""
    NO_FINISH = "no finish_reason"
    """vLLM at random (vllm #27572): [DONE] and usage came."""
    NO_DONE = "no [DONE]"
    """Services that end with the finish reason."""
    NO_IDS = "tool calls without id"
    """No field `id` at all (aichat #1296)."""
    EMPTY_IDS = "empty ids"
    """`id` is an empty text."""
    SAME_IDS = "one id for all"
    """Every call has the same id."""
    OBJECT_ARGUMENTS = "arguments as an object"
    """llama.cpp (#20198)."""
    DATA_NULL = "data: null"
    """An event without content among the others."""
    THINK = "<think>"
    """Thinking in the content, between tags."""
    KEEP_ALIVES = "keep-alive comments"
    """OpenRouter and proxies."""

    REASONING_DETAILS = "reasoning_details"
    """OpenRouter: in pieces, with a signature (agno #8802, opencode #37708)."""
    CALLS_AS_TEXT = "tool calls as text"
    """Qwen behind LM Studio and MLX (lmstudio-bug-tracker #1071, vllm-mlx #107)."""
    PREAMBLE = "text before the calls"
    """Claude and others say what they are about to do."""
    USAGE_WITH_FINISH = "usage with the finish reason"
    """DeepSeek: no chunk of its own for the usage (macparakeet #1087, odysseus #1703)."""
    USAGE_TWICE = "usage twice"
    """With the finish reason and again at the end (tidebreak #1401, veryfront-code #3369)."""
    FINISH_EMPTY = "empty finish_reason"
    """SGLang, Ollama: an empty text where nothing has finished (sglang #3912, ollama #4357)."""
    FINISH_TWICE = "finish_reason twice"
    """Once with and once without the usage (tensorzero #5544)."""
    FINISH_WITH_TEXT = "finish_reason with the last piece"
    """vLLM (#36944)."""
    ROLE_REPEATED = "role in every chunk"
    """DeepSeek (gptel #592)."""
    BARE_CHUNKS = "chunks of choices alone"
    """Small servers leave out id, model and time."""
    PING_EVENTS = "ping events"
    """Gateways in front of Anthropic pass its pings on."""
    EMPTY_DATA = "data without content"
    """Proxies that flush."""
    CONTENT_PARTS = "content as parts"
    """Mistral: text and thinking as a list of parts (vercel/ai #13703, meilisearch #6327)."""
    CHOICES_EMPTY_FIRST = "empty choices first"
    """Azure's filter results, Bedrock's usage (mentat #429, llmeter #34)."""
    DOUBLE_ENCODED = "arguments encoded twice"
    """Qwen, Nova, Granite (livekit/agents #5409, OpenManus #989, vllm #54964)."""
    FINISH_STOP = "finish_reason stop with calls"
    """Gemini's streams (python-genai #2868), vLLM (#9209)."""
    FINISH_UPPER = "finish_reason STOP"
    """Gateways in front of Gemini (qwen-code #9884, oh-my-pi #9566)."""
    FINISH_OTHER = "finish_reason eos_token"
    """TGI (#2344); others say `end` (pi #2107)."""
    FINISH_TOOLS = "finish_reason tool_calls without calls"
    """The counterpart of stop with calls."""
    NAME_REPEATED = "name in every chunk"
    """MiniMax behind NVIDIA NIM (hermes-agent #11984)."""
    EMPTY_ARGUMENTS = "empty arguments"
    """A call without arguments is an empty text (openai-python #3502, aichat #1217)."""
    NULL_FIELDS = "nulls for what is absent"
    """SGLang, exo, Zen (tool-eval-bench #11 #12, opencode #43328)."""
    NULL_USAGE = "usage of nulls"
    """Proxies (livekit/agents #6595, openai-agents-python #1181)."""
    NO_USAGE = "no usage"
    """Services that count nothing."""
    NO_DELTA = "a choice without delta"
    """Azure's asynchronous filter (eneo #126)."""
    FUNCTION_CALL = "function_call"
    """The form of 2023, for one call (functionary #243)."""
    THINK_UNOPENED = "</think> alone"
    """R1's template opens the tag in the prompt (open-webui #9808, llama.cpp #11861)."""
    ACCENTS = "characters of many bytes"
    """Text beyond ASCII, with SPLIT_BYTES."""
    SPLIT_BYTES = "characters split over packets"
    """Network packets that end within a character (Fabric #2203, zeroclaw #3723)."""
    PLAIN_JSON = "JSON in place of a stream"
    """SGLang with tools: stream=true is ignored (sglang #2810)."""
    GZIP = "gzip"
    """A proxy that compresses the stream."""
    CRLF = "CRLF"
    """Lines that end with CR LF."""
    MODEL_PREFIX = "another model name"
    """Routers echo the model under their own name."""


_NOT_LAST = frozenset({Framing.NO_DONE})


@dataclass(frozen=True, slots=True)
class Written:
    """An answer that is to be framed: what the model wrote, thought and signed."""

    answer: ModelAnswer
    id: str
    model: str
    tokens: TokenCount
    include_usage: bool
    reasoning: str = ""
    signature: str = ""
    details: tuple[Json, ...] = ()


def wire_text(answer: ModelAnswer, framings: frozenset[Framing]) -> str:
    """The content as the wire carries it, with thinking in it where the model writes it there."""
    text = answer.text
    if Framing.CALLS_AS_TEXT in framings:
        text += "\n".join(map(_call_text, answer.tool_calls))
    if Framing.PREAMBLE in framings and answer.tool_calls:
        text = f"I shall look at the figures first.\n\n{text}"
    if Framing.ACCENTS in framings and text and not text.lstrip().startswith(("{", "<", "```")):
        text = f"{text}\n\n{ACCENT}"
    if Framing.THINK in framings:
        return f"<think>\n{THOUGHT}\n</think>\n\n{text}"
    if Framing.THINK_UNOPENED in framings:
        return f"{THOUGHT}\n</think>\n\n{text}"
    return text


def _call_text(call: OutgoingCall) -> str:
    """A call as models write it that know tools from their template alone."""
    return f'<tool_call>\n{{"name": "{call.name}", "arguments": {call.arguments}}}\n</tool_call>'


def wire_id(call: OutgoingCall, framings: frozenset[Framing]) -> str | None:
    """The call's id as the wire carries it; None where there is none."""
    if Framing.NO_IDS in framings:
        return None
    if Framing.EMPTY_IDS in framings:
        return ""
    return "call_0" if Framing.SAME_IDS in framings else call.id


def chunks(written: Written, framings: frozenset[Framing]) -> list[Json]:
    """The chunks of the answer, from the first to the one with the usage."""
    deltas = [{"role": "assistant", "content": ""}, *_deltas(written, framings)]
    bodies = [_chunk(written, [_choice(delta, framings)]) for delta in deltas]
    if Framing.BARE_CHUNKS in framings:
        bodies = [{"choices": body["choices"]} for body in bodies]
    if Framing.CHOICES_EMPTY_FIRST in framings:
        bodies.insert(0, _chunk(written, [], usage=_usage(written, framings, completion=0)))
    if Framing.NO_DELTA in framings:
        bodies.insert(2, _chunk(written, [{"index": 0, "delta": None, "finish_reason": None}]))
        bodies.insert(2, _chunk(written, [{"index": 0, "finish_reason": None}]))
    finish = _finish(written, framings)
    if Framing.FINISH_WITH_TEXT in framings:
        bodies[-1]["choices"][0]["finish_reason"] = finish
    elif Framing.NO_FINISH not in framings:
        end = [{"index": 0, "delta": {}, "finish_reason": finish}]
        bodies += [_chunk(written, end)] * (2 if Framing.FINISH_TWICE in framings else 1)
    if framings & {Framing.USAGE_WITH_FINISH, Framing.USAGE_TWICE}:
        bodies[-1]["usage"] = _usage(written, framings)
    if Framing.CUMULATIVE_USAGE in framings:
        for number, body in enumerate(bodies, 1):
            share = written.tokens.completion * number // len(bodies)
            body["usage"] = _usage(written, framings, completion=share)
    if written.include_usage and not framings & {Framing.NO_USAGE, Framing.USAGE_WITH_FINISH}:
        bodies.append(_chunk(written, [], usage=_usage(written, framings)))
    return bodies


def completion(written: Written, framings: frozenset[Framing]) -> Json:
    """The answer as one object, without a stream."""
    message: Json = {"role": "assistant", "content": wire_text(written.answer, framings) or None}
    if written.answer.tool_calls:
        message["tool_calls"] = [
            {
                "id": wire_id(call, framings),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in written.answer.tool_calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": _finish(written, framings)}
    return {
        **_chunk(written, [choice]),
        "object": "chat.completion",
        "usage": _usage(written, framings),
    }


def events(bodies: list[Json], framings: frozenset[Framing] = _NOT_LAST) -> list[bytes]:
    """The chunks as server-sent events."""
    ending = "\r\n\r\n" if Framing.CRLF in framings else "\n\n"
    lines = [f"data: {json.dumps(body, ensure_ascii=False)}" for body in bodies]
    if Framing.DATA_NULL in framings:
        lines.insert(1, "data: null")
    if Framing.EMPTY_DATA in framings:
        lines.insert(1, "data: ")
    if Framing.PING_EVENTS in framings:
        lines.insert(1, 'event: ping\ndata: {"type": "ping"}')
    if Framing.KEEP_ALIVES in framings:
        lines = [line for each in lines for line in (": OPENROUTER PROCESSING", each)]
    if Framing.NO_DONE not in framings:
        lines.append("data: [DONE]")
    return [f"{line}{ending}".encode() for line in lines]


def thinking_chunk(model: str, thought: str) -> Json:
    """A chunk with a piece of thinking."""
    choice = {"index": 0, "delta": {"reasoning_content": thought}, "finish_reason": None}
    return _body("t", model, [choice])


def split(text: str, pieces: int = PIECES) -> list[str]:
    """The text in this many pieces of nearly equal length, without empty ones."""
    bounds = [len(text) * i // pieces for i in range(pieces + 1)]
    return [text[start:end] for start, end in pairwise(bounds) if end > start]


def _deltas(written: Written, framings: frozenset[Framing]) -> Iterator[Json]:
    field = "reasoning" if Framing.REASONING_SHORT in framings else "reasoning_content"
    for piece in split(written.reasoning):
        yield {field: piece}
    for detail in written.details:
        # A signature comes last, in a piece of its own.
        last = {**detail, "text": ""}
        for piece in split(detail["text"]):
            yield {"reasoning_details": [{**detail, "text": piece, "signature": None}]}
        yield {"reasoning_details": [last]}
    text = wire_text(written.answer, framings)
    if Framing.CONTENT_PARTS in framings:
        thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
        yield {"content": [thinking]}
        for piece in split(text):
            yield {"content": [{"type": "text", "text": piece}]}
    else:
        for piece in split(text):
            yield {"content": piece}
    calls = written.answer.tool_calls
    if Framing.CALLS_AS_TEXT in framings:
        return
    if Framing.FUNCTION_CALL in framings and len(calls) == 1:
        yield {"function_call": {"name": calls[0].name, "arguments": ""}}
        for piece in split(calls[0].arguments):
            yield {"function_call": {"arguments": piece}}
        return
    for index, call in enumerate(calls):
        signature = written.signature if index == 0 else ""
        for part in _call_pieces(index, call, signature, framings):
            yield {"tool_calls": [part]}


def _call_pieces(
    index: int, call: OutgoingCall, signature: str, framings: frozenset[Framing]
) -> Iterator[Json]:
    """What one call is sent in: first its name, then its arguments, or all at once."""
    first: Json = {"index": index, "id": wire_id(call, framings), "type": "function"}
    if Framing.NO_IDS in framings:
        del first["id"]
    if Framing.NO_INDEX in framings:
        del first["index"]
    if signature:
        first["extra_content"] = {"google": {"thought_signature": signature}}
    arguments = call.arguments
    if Framing.EMPTY_ARGUMENTS in framings and json.loads(arguments) == {}:
        arguments = ""
    if Framing.DOUBLE_ENCODED in framings:
        arguments = json.dumps(arguments)
    if Framing.OBJECT_ARGUMENTS in framings:
        yield {**first, "function": {"name": call.name, "arguments": json.loads(arguments)}}
        return
    if Framing.NO_INDEX in framings:
        yield {**first, "function": {"name": call.name, "arguments": arguments}}
        return
    begin = "{}" if Framing.PLACEHOLDER in framings else ""
    yield {**first, "function": {"name": call.name, "arguments": begin}}
    for piece in split(arguments):
        function: Json = {"arguments": piece}
        more: Json = {"index": index}
        if Framing.NAME_REPEATED in framings:
            function["name"] = call.name
        if Framing.NULL_FIELDS in framings:
            function["name"] = None
            more |= {"id": None, "type": None}
        yield {**more, "function": function}


def _choice(delta: Json, framings: frozenset[Framing]) -> Json:
    if Framing.NULL_FIELDS in framings:
        absent = dict.fromkeys(("role", "content", "tool_calls", "function_call", "refusal"))
        delta = absent | delta
    if Framing.ROLE_REPEATED in framings:
        delta = {**delta, "role": "assistant"}
    nothing = "" if Framing.FINISH_EMPTY in framings else None
    return {"index": 0, "delta": delta, "finish_reason": nothing}


def _chunk(written: Written, choices: list[Json], **more: Any) -> Json:
    return _body(written.id, written.model, choices) | more


def _body(answer_id: str, model: str, choices: list[Json]) -> Json:
    return {
        "id": answer_id,
        "object": "chat.completion.chunk",
        "created": 1763136000,
        "model": model,
        "choices": choices,
    }


def _finish(written: Written, framings: frozenset[Framing]) -> str:
    calls = written.answer.tool_calls
    finish = "tool_calls" if calls or Framing.FINISH_TOOLS in framings else "stop"
    if Framing.FUNCTION_CALL in framings and len(calls) == 1:
        finish = "function_call"
    if framings & {Framing.FINISH_STOP, Framing.CALLS_AS_TEXT}:
        finish = "stop"
    if Framing.FINISH_OTHER in framings:
        finish = "eos_token"
    return finish.upper() if Framing.FINISH_UPPER in framings else finish


def _usage(written: Written, framings: frozenset[Framing], completion: int | None = None) -> Json:
    if Framing.NULL_USAGE in framings:
        return dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"))
    count = written.tokens.completion if completion is None else completion
    usage: Json = {
        "prompt_tokens": written.tokens.prompt,
        "completion_tokens": count,
        "total_tokens": written.tokens.prompt + count,
    }
    if written.reasoning:
        details = {"reasoning_tokens": min(count, len(written.reasoning) // 4)}
        usage["completion_tokens_details"] = details
    return usage
