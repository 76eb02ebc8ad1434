"""The box for a trace: an id leads to its page, and a file is judged and looked at for a while."""

import asyncio
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import FormData
from aiohttp.test_utils import TestClient

from tests.service.server.markup import EVIL, Tags
from tests.service.server.test_pages import opened, over, parts, started, text, words
from trading_graph.service.server.uploads import MOST, Uploads, open_uploads


def form(id: str = "", file: bytes = b"", name: str = "") -> FormData:
    """What a browser sends of the box; a file without a name is one that was not chosen."""
    data = FormData()
    data.add_field("id", id)
    data.add_field("file", file, filename=name, content_type="application/octet-stream")
    return data


async def complaint(client: TestClient[Any, Any], data: FormData) -> tuple[int, str, str]:
    """The status of an answer, the field that it complains about, and what was typed as the id."""
    answer = await client.post("/traces", data=data)
    page = await answer.text()
    assert "Look at a trace" in page, "the form is there again"
    inputs = {a.get("id"): a for tag, a in Tags(page).found if tag == "input"}
    wrong = [name for name in ("id", "file") if "aria-invalid" in inputs[f"trace-{name}"]]
    for name in wrong:
        assert page.count(f'id="trace-{name}-error"') == 1
    return answer.status, "".join(wrong), inputs["trace-id"]["value"] or ""


async def post(client: TestClient[Any, Any], data: FormData) -> tuple[int, str]:
    """The status of an answer, and where it leads or what it says."""
    answer = await client.post("/traces", data=data, allow_redirects=False)
    return answer.status, answer.headers.get("Location") or words(await answer.text())


async def test_an_id_leads_to_its_page_however_it_is_written(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        path = await started(client)
        await over(client, path)
        id = path.rpartition("/")[2]
        dashes = f"{id[:8]}-{id[8:12]}-{id[12:16]}-{id[16:20]}-{id[20:]}"
        for written in (id, id.upper(), f"  {dashes}\n"):
            assert await post(client, form(written)) == (HTTPStatus.SEE_OTHER, f"/traces/{id}")
        answer = await client.get(f"/traces/{id}", allow_redirects=False)
        assert answer.headers["Location"] == path, "a run has a page of its own"


async def test_what_is_no_id_is_said_in_a_sentence(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        for typed in ("xyz", "0" * 31, "0" * 33, EVIL, "../../etc/passwd", "\uff10" * 32):
            status, said = await post(client, form(typed))
            assert status == HTTPStatus.UNPROCESSABLE_ENTITY
            assert "32 hexadecimal digits" in said
        status, said = await post(client, form())
        assert (status, "choose a file" in said) == (HTTPStatus.UNPROCESSABLE_ENTITY, True)
        assert await complaint(client, form("xyz")) == (422, "id", "xyz")
        assert await complaint(client, form(EVIL[:29])) == (422, "id", EVIL[:29])


async def test_an_id_that_is_nowhere_is_said_at_its_field(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        _, said = await post(client, form("0" * 32))
        assert "This service has no trace" in said
        assert "could not look in Jaeger" in said
        assert await complaint(client, form("0" * 32)) == (502, "id", "0" * 32)
        api = await client.get(f"/v1/traces/{'0' * 32}/verdict", headers={"Accept": "*/*"})
        page = await client.get(f"/traces/{'0' * 32}")
        assert (api.status, page.status) == (502, 502), "whoever asks"


async def test_a_file_that_is_empty_and_a_file_beside_an_id_are_told_apart(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        _, said = await post(client, form(name="empty.json"))
        assert "The file is empty" in said
        assert await complaint(client, form(name="empty.json")) == (422, "file", "")
        both = form("0" * 32, b"{}", "trace.json")
        assert await complaint(client, both) == (422, "", "0" * 32)
        _, said = await post(client, form("0" * 32, b"{}", "trace.json"))
        assert "not both" in said


async def test_a_file_is_judged_and_has_a_page_until_the_service_stops(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        path = await started(client)
        await over(client, path)
        id = path.rpartition("/")[2]
        file = await asyncio.to_thread((tmp_path / "runs" / id / "trace.jsonl").read_bytes)
        status, page = await post(client, form(file=file, name=f"../../{EVIL}"))
        assert status == HTTPStatus.SEE_OTHER
        assert page != f"/traces/{id}", "no upload stands in for a trace that is known"
        said = words(await text(client, page))
        assert "All analysts start within 2 s" in said
        view = await client.get(f"/v1{page}/view", headers={"Accept": "*/*"})
        assert view.status == HTTPStatus.OK
        assert await parts(client).store.verdict(page.rpartition("/")[2]) is None
        folder = tmp_path / "runs" / ".uploads"
        assert len(await asyncio.to_thread(lambda: list(folder.iterdir()))) == 1
    assert not await asyncio.to_thread(folder.exists)


async def test_a_file_that_is_no_trace_is_refused_and_not_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        status, said = await post(client, form(file=EVIL.encode(), name="x"))
        assert status == HTTPStatus.UNPROCESSABLE_ENTITY
        assert str(tmp_path) not in said
        assert await complaint(client, form(file=b"no trace", name="x")) == (422, "file", "")
        folder = tmp_path / "runs" / ".uploads"
        assert await asyncio.to_thread(lambda: list(folder.glob("*"))) == []


async def test_a_page_of_another_origin_uploads_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as client:
        headers = {"Origin": "https://evil.example"}
        answer = await client.post("/traces", data=form(file=b"{}", name="x"), headers=headers)
        assert answer.status == HTTPStatus.FORBIDDEN


async def keep(uploads: Uploads, folder: Path, content: bytes) -> str:
    file = folder / "upload"
    await asyncio.to_thread(file.write_bytes, content)
    return await uploads.keep(file)


async def test_the_oldest_uploads_go_by_number_and_by_size(tmp_path: Path) -> None:
    async with open_uploads(tmp_path, most_bytes=1_000) as uploads:
        ids = [await keep(uploads, tmp_path, b"x") for _ in range(MOST + 3)]
        there = [uploads.path(id) is not None for id in ids]
        assert there == [False] * 3 + [True] * MOST
        large = await keep(uploads, tmp_path, b"x" * 5_000)
        path = uploads.path(large)
        assert path is not None, "the newest stays, however large it is"
        assert await asyncio.to_thread(path.read_bytes) == b"x" * 5_000
        assert [uploads.path(id) for id in ids] == [None] * len(ids)
        assert await asyncio.to_thread(lambda: len(list(path.parent.iterdir()))) == 1
