"""What of an answer can be used: all of it or nothing, without thoughts, with calls as calls."""

from langchain_core.messages import AIMessage, AIMessageChunk

from trading_graph.graph.chat.answer import call_chunks
from trading_graph.graph.chat.conversation import Offer
from trading_graph.graph.chat.refusal import one_line
from trading_graph.graph.chat.text_markup import read_written_calls, without_thoughts
from trading_graph.graph.errors import BadModelAnswerError, CutAnswerError

LONGEST_REFUSAL = 200
"""The most characters of a service's own words that are passed on."""


def usable_answer(whole: AIMessageChunk, offer: Offer) -> AIMessage:
    """The answer without its thoughts, with the calls in its text; raises BadModelAnswerError."""
    _check_whole(whole.response_metadata.get("finish_reason"))
    text = without_thoughts(whole.text)
    if whole.tool_calls or whole.invalid_tool_calls:
        return _with_text(whole, text)
    if text.strip():
        # The function to answer with is read where answers are, with the words around it.
        return _with_text(whole, text) if offer.answer else _with_calls(whole, text, offer)
    if refusal := whole.additional_kwargs.get("refusal"):
        raise BadModelAnswerError(
            f"The model refuses to answer: “{one_line(refusal, LONGEST_REFUSAL)}”; take another "
            "model."
        )
    what = "gave thoughts and no answer" if whole.text.strip() else "gave an empty answer"
    raise BadModelAnswerError(f"The model {what}; run it again or try another model.")


def _with_calls(whole: AIMessageChunk, text: str, offer: Offer) -> AIMessage:
    """The answer with the calls that stand in its text made calls of the message."""
    written = read_written_calls(text)
    if written.is_broken:
        raise BadModelAnswerError(
            "The model wrote a tool call into its text that cannot be read; run it again or take "
            "a model that can call tools."
        )
    if written.calls and offer.tools:
        chunks = call_chunks(("", name, arguments) for name, arguments in written.calls)
        return AIMessageChunk(
            content=written.rest,
            id=whole.id,
            tool_call_chunks=chunks,
            additional_kwargs=whole.additional_kwargs,
            usage_metadata=whole.usage_metadata,
            response_metadata=whole.response_metadata,
        )
    if not written.rest:
        raise BadModelAnswerError(
            "The model wrote tool calls and no answer, where no tool is on offer; run it again or "
            "try another model."
        )
    return _with_text(whole, text)


def _with_text(whole: AIMessageChunk, text: str) -> AIMessage:
    return whole.model_copy(update={"content": text})


def _check_whole(finish_reason: str | None) -> None:
    """Raises BadModelAnswerError for part of an answer: half a report would read like a report."""
    match finish_reason:
        case None:
            raise BadModelAnswerError(
                "The model's answer ended without saying that it was whole; run it again."
            )
        case "length":
            raise CutAnswerError(
                "The model's answer was cut off at the model's limit of tokens; take a model with "
                "a larger one."
            )
        case "content_filter":
            raise CutAnswerError(
                "The model's answer was cut off by the service's content filter; take another "
                "model."
            )
