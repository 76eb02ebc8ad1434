"""The box on the home page that leads to a trace: one of an id, or one in a file.

What is wrong is said beside the field that it is about.
"""

import asyncio
import re
from http import HTTPStatus
from pathlib import Path

from aiohttp import web

from trading_graph.service.server.context import SERVICE, ServiceContext
from trading_graph.service.server.inputs import FORM, save_parts
from trading_graph.service.server.openapi import ID
from trading_graph.service.server.pages.forms import Input
from trading_graph.service.server.pages.home import home_page
from trading_graph.service.server.pages.layout import see_other
from trading_graph.service.server.problems import Problem
from trading_graph.service.server.traces_api import trace_word

_ID, _FILE = "id", "file"
_LONGEST = 200


class _FieldProblem(Problem):
    """What is wrong with a field, or with the whole form where it is empty; `id` was typed."""

    def __init__(self, field: str, id: str, detail: str, problem: Problem | None = None) -> None:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if problem is None else problem.status
        super().__init__(status, detail, headers={} if problem is None else problem.headers)
        self.field = field
        self.id = id


async def look(request: web.Request) -> web.Response:
    """Go to the page of the trace that the form names or brings, or say what is wrong with it."""
    if request.content_type != FORM:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Send the form as a page's form is sent.")
    try:
        return see_other(f"/traces/{await _trace_of(request)}")
    except _FieldProblem as problem:
        typed = Input({_ID: [problem.id]}, {problem.field: problem.detail})
        response = await home_page(request, Input(), problem.status, typed)
        response.headers.update(problem.headers)
        return response


async def _trace_of(request: web.Request) -> str:
    """The id of the trace's page; raises _FieldProblem."""
    service, id = request.app[SERVICE], ""
    try:
        async with service.judging.place() as folder:
            parts = await save_parts(request, folder, (_ID, _FILE))
            id = await _typed(folder, parts[_ID])
            # A browser says whether a file was chosen, also of one that is empty.
            file = folder / parts[_FILE][0] if parts[_FILE] else None
            if file is None:
                return await _known(service, id)
            if id:
                raise _FieldProblem("", id, "Give an id or a file, not both.")
            if not (await asyncio.to_thread(file.stat)).st_size:
                raise _FieldProblem(_FILE, id, "The file is empty; choose one with a trace.")
            upload = await service.uploads.keep(file)
    except _FieldProblem:
        raise
    except Problem as problem:
        raise _FieldProblem("", id, problem.detail, problem) from None
    word = await trace_word(service, upload)
    try:
        # A file that is no trace is refused here, and not kept.
        await service.views.view(word)
    except Problem as problem:
        await service.uploads.forget(upload)
        detail = problem.detail.replace(word, "The file")
        raise _FieldProblem(_FILE, id, detail, problem) from None
    return upload


async def _typed(folder: Path, names: list[str]) -> str:
    """The id as it was typed, without spaces around it."""
    if not names:
        return ""
    text = await asyncio.to_thread((folder / names[0]).read_bytes)
    return text[:_LONGEST].decode(errors="replace").strip()


async def _known(service: ServiceContext, typed: str) -> str:
    """The id, as traces have it, of a run or trace that there is; raises _FieldProblem."""
    if not typed:
        raise _FieldProblem(_ID, typed, "Paste the id of a trace, or choose a file with one.")
    id = typed.replace("-", "").lower()
    if not re.fullmatch(ID, id):
        raise _FieldProblem(
            _ID,
            typed,
            "The id of a trace is 32 hexadecimal digits; paste it whole, with or without dashes.",
        )
    if await service.store.run(id) is None and await service.store.verdict(id) is None:
        try:
            await trace_word(service, id)
        except Problem as problem:
            raise _FieldProblem(_ID, typed, problem.detail, problem) from None
    return id
