"""The operations of the API, and the OpenAPI document that is made from them.

Both come from one table, so every route is in the document, and every operation in it is served.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema

from trading_graph.otel.report.documents.document import Document, schema_parts
from trading_graph.service.server.problems import CONTENT_TYPE

ID = "[0-9a-f]{32}"
_REFERENCE = "#/components/schemas/{model}"
_DOCUMENT = _REFERENCE.format(model="{name}")


class ProblemDocument(BaseModel):
    """What is wrong (RFC 9457); `detail` is one sentence that ends with what to do next."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """An answer of an operation: JSON of a model or document, or a plain content type.

    `documents` are what a command prints as JSON, and the answer is one of them; `forms` are the
    content types in which it can be had instead.
    """

    what: str
    model: type[BaseModel] | None = None
    documents: tuple[type[Document], ...] = ()
    forms: tuple[str, ...] = ()
    content: str | None = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path: its handler, and what it takes and answers.

    `query` and `body` are the models of its parameters and its JSON; `uploads` are the content
    types that it takes as they are, and `parts` the files of a form, each once or more often.
    """

    method: str
    path: str
    handler: Handler
    id: str
    summary: str
    answers: Mapping[HTTPStatus, ApiAnswer]
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    uploads: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    fails: tuple[HTTPStatus, ...] = ()
    open: bool = False
    """Whether it needs no token."""


def add_routes(app: web.Application, operations: Sequence[Operation]) -> None:
    """Serve the operations."""
    for each in operations:
        app.router.add_route(each.method, each.path, each.handler, expect_handler=_continue)


async def _continue(request: web.Request) -> None:
    """Do not ask for the body yet: `receiving` does so once the request has access."""


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The OpenAPI document, version 3.1."""
    models = {model for each in operations for model in _models(each)} | {ProblemDocument}
    ordered = sorted(models, key=lambda model: model.__name__)
    _, schemas = models_json_schema(
        [(model, "validation") for model in ordered], ref_template=_REFERENCE
    )
    answers = [answer for each in operations for answer in each.answers.values()]
    documents = dict.fromkeys(document for each in answers for document in each.documents)
    _, definitions = schema_parts(documents, _DOCUMENT)
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
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], **definitions},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(operation: Operation) -> list[type[BaseModel]]:
    models = [answer.model for answer in operation.answers.values()]
    return [model for model in [*models, operation.body] if model is not None]


def _description(operation: Operation) -> dict[str, Any]:
    answers = {str(int(s)): _answer(answer) for s, answer in operation.answers.items()}
    answers |= {str(int(status)): _problem(status) for status in _fails(operation)}
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "parameters": [*_path(operation), *_query(operation), *_header(operation)],
        "responses": answers,
        "security": [] if operation.open else [{}, {"token": []}],
    }
    content: dict[str, Any] = {}
    if operation.body is not None:
        reference = _REFERENCE.format(model=operation.body.__name__)
        content["application/json"] = {"schema": {"$ref": reference}}
    for upload in operation.uploads:
        content[upload] = {"schema": {}}
    if operation.parts:
        content["multipart/form-data"] = {"schema": _form(operation.parts)}
    if content:
        described["requestBody"] = {"required": True, "content": content}
    return described


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
    takes_body = operation.body is not None or operation.uploads or operation.parts
    if operation.query is not None or takes_body:
        usual.append(HTTPStatus.UNPROCESSABLE_ENTITY)
    if takes_body:
        usual += [HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
        usual.append(HTTPStatus.REQUEST_TIMEOUT)
    return sorted({*usual, *operation.fails})


def _answer(answer: ApiAnswer) -> dict[str, Any]:
    document: dict[str, Any] = {"description": answer.what}
    if answer.model is not None:
        reference = _REFERENCE.format(model=answer.model.__name__)
        document["content"] = {"application/json": {"schema": {"$ref": reference}}}
    elif answer.documents:
        references, _ = schema_parts(answer.documents, _DOCUMENT)
        schema = references[0] if len(references) == 1 else {"anyOf": references}
        other_forms: dict[str, Any] = {form: {} for form in answer.forms}
        document["content"] = {"application/json": {"schema": schema}, **other_forms}
    elif answer.content is not None:
        document["content"] = {answer.content: {}}
    if answer.headers:
        document["headers"] = {name: {"schema": {"type": "string"}} for name in answer.headers}
    return document


def _problem(status: HTTPStatus) -> dict[str, Any]:
    reference = _REFERENCE.format(model=ProblemDocument.__name__)
    content = {CONTENT_TYPE: {"schema": {"$ref": reference}}}
    return {"description": status.phrase, "content": content}


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
    schema = operation.query.model_json_schema()
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": parameter}
        for name, parameter in schema["properties"].items()
    ]


def _header(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "header",
            "required": False,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in operation.headers.items()
    ]
