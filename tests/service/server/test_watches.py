"""The service judges the traces of watched services as they arrive, keeps each verdict once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.jaeger_process import JaegerProcess, JaegerServer
from tests.patience import PATIENCE_S
from tests.service.foreign_program import ForeignProgram, id_of, send
from tests.service.server.open_service import Service, opened

NOWHERE = "http://127.0.0.1:9"


async def put(service: Service, name: str, status: int) -> Any:
    async with service.http.put(f"/v1/watches/{name}") as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def delete(service: Service, name: str, status: int) -> None:
    async with service.http.delete(f"/v1/watches/{name}") as answer:
        assert answer.status == status, await answer.text()


async def verdicts(service: Service, name: str, count: int) -> list[Any]:
    """The verdicts on a service's traces, once there are so many."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = (await service.get(f"/v1/verdicts?service={name}"))["verdicts"]
            if len(found) >= count:
                assert len(found) == count
                return list(found)
            await asyncio.sleep(0.1)


async def has_problem(service: Service, wanted: bool) -> None:
    """Wait until the only watch has a problem, or has none."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            (watch,) = (await service.get("/v1/watches"))["watches"]
            if (watch["problem"] is not None) is wanted:
                return
            await asyncio.sleep(0.05)


async def sent(program: ForeignProgram, jaeger: JaegerProcess, **more: Any) -> str:
    spans = program.trace(**{"declared": 3, **more})
    await asyncio.to_thread(send, spans, jaeger.otlp_http_url)
    return id_of(spans)


@pytest.mark.jaeger
async def test_new_traces_are_judged_once_and_a_restart_misses_none(
    tmp_path: Path, jaeger: JaegerProcess
) -> None:
    program = ForeignProgram()
    name = program.service
    await sent(program, jaeger)
    async with opened(tmp_path, jaeger_url=jaeger.query_url) as service:
        watch = await put(service, name, 201)
        assert watch["problem"] is None
        assert (await put(service, name, 200)) == watch
        first = await sent(program, jaeger, name="one")
        (kept,) = await verdicts(service, name, 1)
        assert (kept["id"], kept["name"], kept["service"]) == (first, "one", name)
        assert kept["seconds"] > 0
        document = await service.get(kept["links"]["verdict"])
        assert (document["trace_id"], document["passed"]) == (first, kept["passed"])
    away = await sent(program, jaeger, name="while it was away")
    async with opened(tmp_path, jaeger_url=jaeger.query_url) as service:
        assert [each["service"] for each in (await service.get("/v1/watches"))["watches"]] == [name]
        assert [each["id"] for each in await verdicts(service, name, 2)] == [away, first]
        judged = {each["id"]: each["judged"] for each in await verdicts(service, name, 2)}
        assert judged[first] == kept["judged"], "it is judged once"
        await delete(service, name, 204)
        await delete(service, name, 404)
        await sent(program, jaeger)
        await asyncio.sleep(3)
        await verdicts(service, name, 2)


@pytest.mark.jaeger
async def test_runs_of_our_own_and_predictions_are_not_judged_again(
    tmp_path: Path, jaeger: JaegerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ForeignProgram()
    async with opened(
        tmp_path, jaeger_url=jaeger.query_url, serve_watch=(program.service,)
    ) as service:
        own = await service.over((await service.start())["id"])
        before = await service.get("/v1/verdicts")
        # As if the run's spans had been sent under this name.
        await service.parts.store.change(own["id"], trace_id=(mine := await sent(program, jaeger)))
        await sent(program, jaeger, attributes={"trading.predicted": "true"})
        last = await sent(program, jaeger)
        assert [each["id"] for each in await verdicts(service, program.service, 1)] == [last]
        assert mine not in str(await service.get("/v1/verdicts"))
        assert len((await service.get("/v1/verdicts"))["verdicts"]) == len(before["verdicts"]) + 1


@pytest.mark.jaeger
async def test_one_that_can_never_be_judged_is_kept_as_that(
    tmp_path: Path, jaeger: JaegerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = ForeignProgram()
    async with opened(
        tmp_path, jaeger_url=jaeger.query_url, serve_watch=(program.service,)
    ) as service:
        program_of_judges = "trading_graph.service.server.receiving.judges._PROGRAM"
        monkeypatch.setattr(program_of_judges, "raise SystemExit(9)")
        trace_id = await sent(program, jaeger)
        (kept,) = await verdicts(service, program.service, 1)
        assert kept["passed"] is None
        document = await service.get(f"/v1/traces/{trace_id}/verdict")
        assert document["complete"] is False
        assert document["missing"]


@pytest.mark.jaeger
async def test_a_jaeger_that_is_down_is_said_once_and_waited_for(
    tmp_path: Path,
    jaeger_factory: Callable[[], JaegerServer],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server, program = await asyncio.to_thread(jaeger_factory), ForeignProgram()
    started = await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.stop)
    async with opened(tmp_path, jaeger_url=started.query_url) as service:
        await put(service, program.service, 201)
        await has_problem(service, True)
        await asyncio.sleep(4)
        assert sum(program.service in record.message for record in caplog.records) == 1
        await sent(program, await asyncio.to_thread(server.start))
        await verdicts(service, program.service, 1)
        await has_problem(service, False)


async def test_a_setting_asks_for_watches_that_stay(tmp_path: Path) -> None:
    async with opened(tmp_path, jaeger_url=NOWHERE, serve_watch=("always",)) as service:
        await put(service, "sometimes", 201)
        found = (await service.get("/v1/watches"))["watches"]
        assert [(each["service"], each["by_setting"]) for each in found] == [
            ("always", True),
            ("sometimes", False),
        ]
        await delete(service, "always", 409)
    async with opened(tmp_path, jaeger_url=NOWHERE) as service:
        found = (await service.get("/v1/watches"))["watches"]
        assert [each["service"] for each in found] == ["sometimes"]


async def test_names_of_services(tmp_path: Path) -> None:
    async with opened(tmp_path, jaeger_url=NOWHERE) as service:
        assert (await put(service, "a%2Fb%20ü", 201))["service"] == "a/b ü"
        await put(service, "%0A", 422)
        await put(service, "%20", 422)
        await put(service, "x" * 201, 422)
        for number in range(31):
            await put(service, f"s{number}", 201)
        await put(service, "one-more", 409)
