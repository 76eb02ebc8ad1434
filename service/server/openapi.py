"""The operations of the API, and the OpenAPI document that is made from them.

Both come from one table, so every route is in the document, and every operation in it is served.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, TypeAdapter

from trading_graph.otel.report.documents.document import Document, schema_parts
from trading_graph.service.server.problems import CONTENT_TYPE

ID = "[0-9a-f]{32}"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
_REFERENCE = "#/components/schemas/{name}"
_MODEL_REFERENCE = _REFERENCE.format(name="{model}")

ApiHandler = Callable[[web.Request], Awaitable[BaseModel | web.StreamResponse]]
"""What answers an operation; a model that it returns is sent as JSON."""


class ProblemDocument(BaseModel):
    """What is wrong (RFC 9457); `detail` is one sentence that ends with what to do next."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer of an operation: one of some models, or just a content type, or other ones.

    `what` says what the summary of the operation does not.
    """

    models: tuple[type[BaseModel] | type[Document], ...] = ()
    content: str = JSON
    other_content: tuple[str, ...] = ()
    what: str = ""
    headers: tuple[str, ...] = ()


def ok(
    *models: type[BaseModel] | type[Document], content: str = JSON, other: tuple[str, ...] = ()
) -> Mapping[HTTPStatus, ApiAnswer]:
    """The answers of an operation that has one."""
    return {HTTPStatus.OK: ApiAnswer(models, content, other)}


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: its handler, and what it takes and answers.

    `query` and `body` are the models of its parameters and its JSON; `uploads` are the content
    types that it takes as they are, and `parts` the files of a form, each once or more often.
    """

    method: str
    path: str
    handler: ApiHandler
    answers: Mapping[HTTPStatus, ApiAnswer]
    query: type[BaseModel] | None = None
    body: type | None = None
    uploads: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    fails: tuple[HTTPStatus, ...] = ()
    open: bool = False
    """Whether it needs no token."""
    unmetered: bool = False
    """Whether a client may ask as often as it wants, since the handler has limits of its own."""

    @property
    def id(self) -> str:
        """The name of the handler, as OpenAPI has names."""
        first, *rest = self.handler.__name__.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def summary(self) -> str:
        """What the handler does."""
        return cleandoc(self.handler.__doc__ or "").partition("\n\n")[0]

    @property
    def takes_body(self) -> bool:
        """Whether a request has a body."""
        return self.body is not None or bool(self.uploads or self.parts)


def add_routes(app: web.Application, operations: Sequence[Operation]) -> None:
    """Serve the operations; those that need no token answer HEAD too, as health checks ask."""
    for each in operations:
        handler = _with_json(each.handler)
        methods = (each.method, "HEAD") if each.open and each.method == "GET" else (each.method,)
        for method in methods:
            app.router.add_route(method, each.path, handler, expect_handler=_continue)


def _with_json(handler: ApiHandler) -> Handler:
    async def serve(request: web.Request) -> web.StreamResponse:
        answer = await handler(request)
        if isinstance(answer, BaseModel):
            return web.json_response(text=answer.model_dump_json())
        return answer

    return serve


async def _continue(request: web.Request) -> None:
    """Do not ask for the body yet: `receiving` does so once the request has access."""


def openapi(operations: Sequence[Operation], version: str, base_path: str = "") -> dict[str, Any]:
    """The OpenAPI document, version 3.1, of a service that is found below a base path."""
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _description(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Trading Graph",
            "version": version,
            "summary": "A multi-agent trading analysis whose parallelism is proved from its own "
            "traces.",
            "description": "Not investment advice.",
        },
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    bodies = {each.body for each in operations if each.body is not None}
    answers = [answer for each in operations for answer in each.answers.values()]
    models = dict.fromkeys(model for each in answers for model in each.models)
    documents = [model for model in models if issubclass(model, Document)]
    answered = {model for model in models if issubclass(model, BaseModel)}
    ordered = sorted(bodies | answered | {ProblemDocument}, key=lambda model: model.__name__)
    _, schemas = TypeAdapter.json_schemas(
        [(model, "validation", TypeAdapter(model)) for model in ordered],
        ref_template=_MODEL_REFERENCE,
    )
    for name in schemas["$defs"].keys() - {body.__name__ for body in bodies}:
        # A later version may add fields to what it answers.
        schemas["$defs"][name].pop("additionalProperties", None)
    _, definitions = schema_parts(documents, _REFERENCE)
    return {**schemas["$defs"], **definitions}


def _description(operation: Operation) -> dict[str, Any]:
    answers = {str(int(status)): _problem(status) for status in _fails(operation)}
    answers |= {str(int(s)): _answer(operation, s, each) for s, each in operation.answers.items()}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*_path(operation), *_query(operation), *_header(operation)],
        "responses": answers,
        "security": [] if operation.open else [{}, {"token": []}],
    }
    content: dict[str, Any] = {upload: _as_it_is(upload) for upload in operation.uploads}
    if operation.body is not None:
        content[JSON] = _of_models(operation.body)
    if operation.parts:
        content["multipart/form-data"] = {"schema": _form(operation.parts)}
    if content:
        described["requestBody"] = {"required": True, "content": content}
    return described


def _as_it_is(content: str) -> dict[str, Any]:
    """The schema of a body of a content type that no model describes."""
    if content == JSON:
        return {"schema": {"type": "object"}}
    return {"schema": {"type": "string"} | ({} if _is_text(content) else {"format": "binary"})}


def _is_text(content: str) -> bool:
    return content.startswith("text/") or content.endswith("+xml")


def _of_models(*models: type) -> dict[str, Any]:
    references = [{"$ref": _REFERENCE.format(name=model.__name__)} for model in models]
    return {"schema": references[0] if len(references) == 1 else {"anyOf": references}}


def _of_events(data: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of each event of a stream, whose data is JSON."""
    fields = {
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": JSON, "contentSchema": data},
    }
    return {"schema": {"type": "object", "properties": fields, "required": ["id", "data"]}}


def _form(parts: Sequence[str]) -> dict[str, Any]:
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    files = {"type": "array", "items": file, "minItems": 1}
    return {
        "type": "object",
        "properties": dict.fromkeys(parts, files),
        "required": list(parts),
        "additionalProperties": False,
    }


def _fails(operation: Operation) -> list[HTTPStatus]:
    """The statuses of the problems that an operation can answer."""
    if operation.open:
        return list(operation.fails)
    usual = [
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
    ]
    usual += [HTTPStatus.NOT_FOUND] * ("{" in operation.path)
    if operation.query is not None or operation.takes_body:
        usual.append(HTTPStatus.UNPROCESSABLE_ENTITY)
    if operation.takes_body:
        usual += [HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
        usual.append(HTTPStatus.REQUEST_TIMEOUT)
    return sorted({*usual, *operation.fails})


def _answer(operation: Operation, status: HTTPStatus, answer: ApiAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {"description": answer.what or operation.summary}
    if status is not HTTPStatus.NO_CONTENT:
        content = _of_models(*answer.models) if answer.models else _as_it_is(answer.content)
        if answer.content == EVENT_STREAM:
            content = _of_events(content["schema"])
        document["content"] = {answer.content: content}
        document["content"] |= {other: _as_it_is(other) for other in answer.other_content}
    if answer.headers:
        document["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    return document


def _problem(status: HTTPStatus) -> dict[str, Any]:
    return {"description": status.phrase, "content": {CONTENT_TYPE: _of_models(ProblemDocument)}}


def _path(operation: Operation) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    pattern = {"type": "string", "pattern": f"^{ID}$"}
    plain = {"type": "string", "minLength": 1, "maxLength": 200}
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": pattern if name.endswith("_id") else plain,
        }
        for name in names
    ]


def _query(operation: Operation) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    schema = operation.query.model_json_schema(ref_template=_MODEL_REFERENCE)
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": parameter}
        for name, parameter in schema["properties"].items()
    ]


def _header(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in operation.headers.items()
    ]
