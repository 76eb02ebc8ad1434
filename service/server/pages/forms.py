"""What an HTML form sends, read within limits."""

import asyncio
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import parse_qs

from aiohttp import web

from service.server.problems import Problem
from service.server.reading import BODY_S

_MOST_BYTES = 64 * 1024
_MOST_FIELDS = 50


async def form_of(request: web.Request) -> Mapping[str, Sequence[str]]:
    """The fields of a form with all their values; raises Problem."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the form as a page's form is sent.")
    try:
        async with asyncio.timeout(BODY_S):
            body = await _bounded(request)
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT, f"The form did not come within {BODY_S:g} s; send it again."
        ) from None
    try:
        return parse_qs(
            body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The form cannot be read; load its page again."
        ) from None


async def _bounded(request: web.Request) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The form is too long; send less.")
    return bytes(body)


def first(form: Mapping[str, Sequence[str]], name: str) -> str:
    """The first value of a field without spaces around it, empty where there is none."""
    values = form.get(name, ("",))
    return values[0].strip()
