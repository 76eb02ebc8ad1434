"""The part of OpenAI's chat-completions protocol that the offline model understands, typed.

Unknown fields are ignored, as a server must that meets clients of several versions.
"""

import msgspec


class CalledFunction(msgspec.Struct):
    """The function of a tool call; `arguments` is JSON text."""

    name: str
    arguments: str = ""


class RequestedCall(msgspec.Struct):
    """A tool call that an earlier answer asked for."""

    id: str
    function: CalledFunction


class ContentPart(msgspec.Struct):
    """A part of a message's content; only text is read."""

    text: str = ""


class Message(msgspec.Struct):
    """One message of the conversation."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[RequestedCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        """The content as text, whichever form it has."""
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""


class FunctionName(msgspec.Struct):
    """A function by its name."""

    name: str


class NamedFunction(msgspec.Struct):
    """An offered tool, or the one that `tool_choice` forces."""

    function: FunctionName


class SchemaName(msgspec.Struct):
    """A JSON schema by its name."""

    name: str


class ResponseFormat(msgspec.Struct):
    """The form that the answer must have."""

    json_schema: SchemaName | None = None


class StreamOptions(msgspec.Struct):
    """Whether a streamed answer ends with its usage."""

    include_usage: bool | None = False


class ChatRequest(msgspec.Struct):
    """The body of POST /v1/chat/completions."""

    model: str
    messages: list[Message]
    tools: list[NamedFunction] | None = None
    tool_choice: str | NamedFunction | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The offered tools, in order."""
        return tuple(tool.function.name for tool in self.tools or ())

    @property
    def forced_tool(self) -> str | None:
        """The tool that must be called, named by the caller or the only one that may."""
        if isinstance(self.tool_choice, NamedFunction):
            return self.tool_choice.function.name
        if self.tool_choice in ("required", "any") and len(self.tool_names) == 1:
            return self.tool_names[0]
        return None

    @property
    def response_schema(self) -> str | None:
        """The name of the JSON schema that the answer's text must follow, if one is given."""
        given = self.response_format
        return given.json_schema.name if given and given.json_schema else None

    @property
    def wants_usage(self) -> bool:
        """Whether a streamed answer must end with its usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


_DECODER = msgspec.json.Decoder(ChatRequest)


def decode_request(body: bytes) -> ChatRequest:
    """Decode the body, or raise ValueError with one sentence."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ValueError(
            f"The body is not a chat-completions request: {error}; send JSON with 'model' and "
            "'messages'."
        ) from error
