"""What a request brings, checked at the edge: its JSON, form, query, ids and uploads.

Uploaded traces are written to files as they arrive; none is held in memory whole.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, TypeAdapter, ValidationError

from trading_graph.service.server.openapi import ID
from trading_graph.service.server.problems import Problem

BODY_S = 30.0
"""Time limit for a request body, in seconds."""

JSON_BYTES = 2**16
"""Maximum size of a JSON body, in bytes; uploads have a setting of their own."""

_Model = TypeVar("_Model", bound=BaseModel)
_Body = TypeVar("_Body")


async def body_of(request: web.Request, body: TypeAdapter[_Body]) -> _Body:
    """The JSON of a request; raises Problem."""
    if request.content_type != "application/json":
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with Content-Type: application/json."
        )
    content = await read_body(request, JSON_BYTES)
    try:
        return body.validate_json(content)
    except ValidationError as error:
        raise _invalid(error, "body") from None


PLAIN = frozenset({"identity"})


async def read_body(request: web.Request, most: int, encodings: Collection[str] = PLAIN) -> bytes:
    """The whole body, within the limits on size, in bytes, and time; raises Problem.

    It is not unpacked; `encodings` are those that the caller unpacks.
    """
    body = bytearray()
    async with receiving(request, most, encodings):
        async for part in request.content.iter_any():
            body += part
            if len(body) > most:
                raise too_large(most)
    return bytes(body)


@contextlib.asynccontextmanager
async def receiving(
    request: web.Request, most: int, encodings: Collection[str] = PLAIN
) -> AsyncIterator[None]:
    """Ask for the body, limit the time to read it, and turn its errors into a Problem."""
    if encoding_of(request) not in encodings:
        # A small compressed body may be a very large one.
        others = ", or as ".join(sorted(set(encodings) - PLAIN))
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send the body as {others}, or without Content-Encoding."
            if others
            else "Send the body as it is, without Content-Encoding.",
        )
    if (request.content_length or 0) > most:
        raise too_large(most)
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(BODY_S):
            yield
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT, f"The body did not come within {BODY_S:g} s; send it again."
        ) from None
    except web.RequestPayloadError:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "The body is cut off, or is not framed as HTTP; send it again."
        ) from None


def encoding_of(request: web.Request) -> str:
    """What a body is packed in, as its header says."""
    return request.headers.get("Content-Encoding", "identity").strip().lower()


def too_large(most: int) -> Problem:
    """The problem of a body that is too large."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than the {most:,} bytes that are taken here; send less.",
    )


_FORM_BYTES = 64 * 1024
_FORM_FIELDS = 50


async def form_of(request: web.Request) -> Mapping[str, Sequence[str]]:
    """The fields of a form with all their values; raises Problem."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the form as a page's form is sent.")
    body = await read_body(request, _FORM_BYTES)
    try:
        return parse_qs(
            body.decode(), keep_blank_values=True, max_num_fields=_FORM_FIELDS, errors="strict"
        )
    except ValueError:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "The form cannot be read; load its page again."
        ) from None


def first(form: Mapping[str, Sequence[str]], name: str) -> str:
    """The first value of a field without spaces around it, empty where there is none."""
    values = form.get(name, ("",))
    return values[0].strip()


def query_of(request: web.Request, model: type[_Model]) -> _Model:
    """The parameters of a query; raises Problem, also for one that is repeated or unknown."""
    doubled = [name for name in request.query if len(request.query.getall(name)) > 1]
    if doubled:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{doubled[0][:40]!a} is given twice; give it once."
        )
    try:
        return model.model_validate_strings(dict(request.query))
    except ValidationError as error:
        raise _invalid(error, "query") from None


def id_of(request: web.Request, name: str) -> str:
    """An id in the path, 32 hexadecimal digits; raises Problem."""
    id = request.match_info[name].replace("-", "").lower()
    if not re.fullmatch(ID, id):
        raise Problem(HTTPStatus.NOT_FOUND, "This is no id; send one of 32 hexadecimal digits.")
    return id


def fault_in_words(fault: Mapping[str, Any]) -> str:
    """What is wrong with a value, in words for whoever sent it rather than for a programmer."""
    context = fault.get("ctx", {})
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return "there is no such field; leave it out"
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return "it is missing; give it"
        case "literal_error" | "enum":
            return f"give {context['expected']}"
        case "too_short":
            return f"give at least {context['min_length']}"
        case "too_long":
            return f"give at most {context['max_length']}"
        case "string_pattern_mismatch" if context["pattern"] == f"^{ID}$":
            return "give an id of 32 hexadecimal digits"
        case "int_parsing" | "int_type" | "int_from_float":
            return "give a whole number"
        case "float_parsing" | "float_type":
            return "give a number"
        case "bool_parsing" | "bool_type":
            return "give true or false"
    words = fault["msg"].removeprefix("Value error, ")
    return re.sub(r"^(Input|String|Value|List|Tuple) should", "it should", words)


def _invalid(error: ValidationError, where: str) -> Problem:
    # The message does not repeat the input, which may be long, or a secret in the wrong place.
    errors = [
        {"field": ".".join(map(str, each["loc"])) or where, "message": fault_in_words(each)}
        for each in error.errors(include_input=False, include_url=False)
    ]
    first = errors[0]
    summary = f"{first['field']}: {first['message']}" + (
        f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    )
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, f"The {where} is wrong: {summary}.", errors=errors
    )


UPLOADS = (
    "application/json",
    "application/x-ndjson",
    "application/octet-stream",
    "application/x-protobuf",
    "application/gzip",
    "application/zstd",
)
FORM = "multipart/form-data"
MOST_PARTS = 32
"""Maximum number of traces on one side of a comparison."""

_CHUNK = 2**16


async def save_body(request: web.Request, path: Path) -> None:
    """Write the body to a file; raises Problem."""
    if request.content_type not in UPLOADS:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Send the trace as it is, with Content-Type: {', '.join(UPLOADS)}.",
        )
    async with receiving(request, request.client_max_size):
        await _save(request, request.content.iter_chunked(_CHUNK), path, 0)


async def save_parts(
    request: web.Request, folder: Path, names: Sequence[str]
) -> dict[str, list[str]]:
    """Write the parts of a form to files; returns the files' names by part. Raises Problem."""
    names_by_part: dict[str, list[str]] = {name: [] for name in names}
    size = 0
    async with receiving(request, request.client_max_size):
        try:
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                if not isinstance(part, BodyPartReader) or part.name not in names_by_part:
                    raise Problem(
                        HTTPStatus.UNPROCESSABLE_ENTITY,
                        f"The parts of the form are {' and '.join(names)}; name each by one.",
                    )
                if part.filename == "":
                    continue  # So a browser says that no file was chosen.
                files = names_by_part[part.name]
                if len(files) == MOST_PARTS:
                    raise Problem(
                        HTTPStatus.UNPROCESSABLE_ENTITY,
                        f"At most {MOST_PARTS} traces are compared a side; send fewer.",
                    )
                # A name of our own: nothing from a request becomes a path.
                files.append(f"{part.name}-{len(files) + 1}")
                size = await _save(request, _chunks(part), folder / files[-1], size)
        except (ValueError, LookupError, AssertionError, RuntimeError, HttpProcessingError):
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"The body is no form that can be read; send {FORM}, as curl -F does.",
            ) from None
    return names_by_part


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield chunk


async def _save(request: web.Request, chunks: AsyncIterator[bytes], path: Path, size: int) -> int:
    """Write chunks to a file; returns the bytes received so far, `size` of them before."""
    file = await asyncio.to_thread(path.open, "wb")
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > request.client_max_size:
                raise too_large(request.client_max_size)
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
    return size
