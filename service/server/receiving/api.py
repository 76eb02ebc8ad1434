"""The operation of OTLP over HTTP that takes spans, with the answers that its specification asks.

Its errors are a `google.rpc.Status` in the encoding of the request, since that is what exporters
read; what is refused before it gets here, such as a wrong token, is a problem like elsewhere.
"""

import json
import logging
from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import encoding_of, read_body, too_large
from trading_graph.service.server.openapi import JSON, ApiAnswer, Operation
from trading_graph.service.server.problems import CONTENT_TYPE, Problem
from trading_graph.service.server.receiving import message, protobuf
from trading_graph.service.server.receiving.batches import ENCODINGS, in_words
from trading_graph.service.server.receiving.errors import (
    MalformedMessageError,
    MessageTooLargeError,
    ReceiverBusyError,
)
from trading_graph.service.server.receiving.ledger import Body

_LOG = logging.getLogger(__name__)

PATH = "/v1/traces"
_PROTOBUF = "application/x-protobuf"
_ENCODINGS = {_PROTOBUF: protobuf.PROTOBUF, JSON: message.JSON}


class PartialSuccess(BaseModel):
    """How many spans were rejected, and why."""

    rejected_spans: str = Field(alias="rejectedSpans")
    error_message: str = Field(alias="errorMessage")


class ExportAnswer(BaseModel):
    """The answer to an export; empty where all spans were taken."""

    partial_success: PartialSuccess | None = Field(None, alias="partialSuccess")


class ExportStatus(BaseModel):
    """Why an export failed, as `google.rpc.Status`."""

    model_config = ConfigDict(extra="allow")

    message: str


async def take_spans(request: web.Request) -> web.Response:
    """Take spans over OTLP; 200 means that they are in the log files of their traces."""
    try:
        return await _take(request)
    except Problem as problem:
        return _failure(request, problem)


async def _take(request: web.Request) -> web.Response:
    encoding = _ENCODINGS.get(request.content_type)
    if encoding is None:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send spans as OTLP, with Content-Type: {_PROTOBUF} or {JSON}.",
        )
    receiver = request.app[SERVICE].receiver
    most = receiver.limits.message
    try:
        with receiver.room(min(request.content_length or most, most)):
            body = await read_body(request, most, ENCODINGS)
            rejections = await receiver.take(Body(body, encoding_of(request), encoding))
    except ReceiverBusyError as error:
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            str(error),
            headers={"Retry-After": str(error.retry_after_s)},
        ) from None
    except MalformedMessageError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from None
    except MessageTooLargeError:
        raise too_large(most) from None
    except OSError as error:
        _LOG.warning("Received spans cannot be written: %s", error)
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "The spans cannot be written to a file; the service's log says why.",
            headers={"Retry-After": "5"},
        ) from None
    rejected, reason = rejections.total(), in_words(rejections)
    if rejected:
        _LOG.warning("From %s: %s", request.remote, reason)
    if request.content_type == _PROTOBUF:
        return web.Response(body=protobuf.encode_answer(rejected, reason), content_type=_PROTOBUF)
    partial = {"rejectedSpans": str(rejected), "errorMessage": reason}
    return web.json_response({"partialSuccess": partial} if rejected else {})


def _failure(request: web.Request, problem: Problem) -> web.Response:
    """The status of an export that failed, in the encoding of the request."""
    if request.content_type == _PROTOBUF:
        return web.Response(
            status=problem.status,
            headers=problem.headers,
            body=protobuf.encode_status(problem.detail),
            content_type=_PROTOBUF,
        )
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        text=json.dumps({"message": problem.detail}),
        content_type=JSON,
    )


_FAILED = ApiAnswer(
    (ExportStatus,), other_content=(_PROTOBUF, CONTENT_TYPE), what="Nothing of it was taken."
)

OPERATIONS = (
    Operation(
        "POST",
        PATH,
        take_spans,
        {
            HTTPStatus.OK: ApiAnswer(
                (ExportAnswer,),
                other_content=(_PROTOBUF,),
                what="The spans are in the files of their traces, but for those it names.",
            ),
            HTTPStatus.BAD_REQUEST: _FAILED,
            HTTPStatus.REQUEST_TIMEOUT: _FAILED,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _FAILED,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE: _FAILED,
            HTTPStatus.TOO_MANY_REQUESTS: _FAILED,
            HTTPStatus.SERVICE_UNAVAILABLE: _FAILED,
        },
        uploads=(_PROTOBUF, JSON),
        unmetered=True,
    ),
)
