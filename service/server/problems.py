"""Errors as `application/problem+json` (RFC 9457): what is wrong, where, and what to do."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from aiohttp import web

from trading_graph.otel.errors import TraceError
from trading_graph.otel.redaction import Redactor
from trading_graph.service.errors import PortfolioError, SettingsError, StoreUnavailableError
from trading_graph.service.server.base_path import address
from trading_graph.toolkit.errors import BadRequestError

_LOG = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

REDACTOR = web.AppKey("redactor", Redactor)


class Problem(Exception):
    """An error answer; `detail` is one sentence that ends with what to do next."""

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def answer(problem: Problem, redactor: Redactor) -> web.Response:
    """The problem as a response, without secrets."""
    document = {
        "type": "about:blank",
        "title": problem.status.phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.more,
    }
    return web.Response(
        status=problem.status,
        headers=problem.headers,
        content_type=CONTENT_TYPE,
        charset="utf-8",
        text=json.dumps(redactor.document(document)),
    )


def problem_of(error: Exception) -> Problem:
    """The problem of an error; that of an unexpected error reveals nothing of the program."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, web.HTTPException):
        return _of_aiohttp(error)
    if isinstance(error, BadRequestError | SettingsError):
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
    if isinstance(error, TraceError):
        return Problem(HTTPStatus.NOT_FOUND, str(error))
    if isinstance(error, PortfolioError):
        return Problem(HTTPStatus.CONFLICT, str(error))
    if isinstance(error, StoreUnavailableError):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers={"Retry-After": "5"})
    _LOG.error("A request failed: %r", error, exc_info=error)
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed; its log says why, at this time."
    )


def _of_aiohttp(error: web.HTTPException) -> Problem:
    status = HTTPStatus(error.status)
    details = {
        HTTPStatus.NOT_FOUND: f"There is nothing at this path; {address('/v1/openapi.json')} lists "
        "what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This path does not take this method; Allow lists those it "
        "takes.",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is larger than the service "
        "takes; send less.",
    }
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return Problem(
        status, details.get(status, status.description or status.phrase), headers=headers
    )
