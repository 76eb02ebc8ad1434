"""The box on the home page that leads to a trace: one of an id, or one in a file."""

import asyncio
import re
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from trading_graph.service.server.context import SERVICE
from trading_graph.service.server.inputs import FORM, save_parts
from trading_graph.service.server.openapi import ID
from trading_graph.service.server.pages.layout import see_other
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.traces_api import trace_word

_ID, _FILE = "id", "file"
_LONGEST = 200


async def look(request: web.Request) -> web.Response:
    """Go to the page of the trace that the form names or brings; raises Problem."""
    service = request.app[SERVICE]
    if request.content_type != FORM:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the form as a page's form is sent.")
    async with service.judging.place() as folder:
        parts = await save_parts(request, folder, (_ID, _FILE))
        file = await _first(folder, parts[_FILE])
        if file is None:
            return see_other(f"/traces/{await _id(folder, parts[_ID])}")
        upload = await service.uploads.keep(file)
    word = await trace_word(service, upload)
    try:
        # A file that is no trace is refused here, and not kept.
        await service.views.view(word)
    except Problem as problem:
        await service.uploads.forget(upload)
        detail = problem.detail.replace(word, "The file")
        raise Problem(problem.status, detail, headers=problem.headers) from None
    return see_other(f"/traces/{upload}")


async def _first(folder: Path, names: list[str]) -> Path | None:
    """The first file that holds something: a browser sends an empty one where none was chosen."""
    for name in names:
        if (await asyncio.to_thread((folder / name).stat)).st_size:
            return folder / name
    return None


async def _id(folder: Path, names: list[str]) -> str:
    """The id that was typed, as traces have it; raises Problem."""
    file = await _first(folder, names)
    typed = b"" if file is None else await asyncio.to_thread(file.read_bytes)
    id = typed[:_LONGEST].decode(errors="replace").strip().replace("-", "").lower()
    if not id:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, "Paste the id of a trace, or choose a file with one."
        )
    if not re.fullmatch(ID, id):
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "The id of a trace is 32 hexadecimal digits; paste it whole, with or without dashes.",
        )
    return id
