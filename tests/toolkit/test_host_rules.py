"""The rules of a host: its rate, its User-Agent, its caps, and who gets trace headers."""

import asyncio
from time import perf_counter
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from yarl import URL

from tests.toolkit.faulty_source import FaultySource
from tests.toolkit.spans_in_memory import http_spans
from trading_graph.otel import spans
from trading_graph.otel.redirects import is_followed
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.errors import BadAnswerError, SourceUnavailableError
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HOST_POLICIES, HostPolicy, Hosts
from trading_graph.toolkit.sources import yfinance_reader


def test_the_policy_with_the_port_goes_before_the_hosts_and_that_before_the_default() -> None:
    port, host, default = (HostPolicy(burst=each) for each in (1, 2, 3))
    hosts = Hosts({"a.example:8443": port, "a.example": host}, default)
    assert hosts.of(URL("https://a.example:8443/x")).policy is port
    assert hosts.of(URL("https://a.example/x")).policy is host
    assert hosts.of(URL("https://b.example/x")).policy is default


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_s": 0},
        {"burst": 0},
        {"attempts": 0},
        {"max_body_bytes": 0},
        {"breaker_failures": 0},
    ],
)
def test_a_policy_under_which_nothing_could_be_asked_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        HostPolicy(**wrong)  # type: ignore[arg-type]


async def test_after_the_burst_requests_come_at_the_hosts_rate_and_its_spans_say_so(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    rate = 20.0
    policy = HostPolicy(requests_per_s=rate, burst=3)
    async with (
        HttpPool(policies={"127.0.0.1": policy}) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        began = perf_counter()
        await asyncio.gather(*(pool.get_json(f"{source.url}/json") for _ in range(7)))
    # A loop under load may send late, never early.
    for number, moment in enumerate(source.times("/json")):
        assert moment - began >= 0.95 * (number - 2) / rate
    found = http_spans(exporter)
    begins_ms = [(span.start_time or 0) / 1e6 for span in found]
    waits_ms, queued_ms = (
        [float(str((span.attributes or {}).get(key, 0))) for span in found]
        for key in (semconv.RATE_WAIT_MS, semconv.WAIT_MS)
    )
    assert waits_ms.count(0) == 3, "the burst is not held back"
    turns_ms = sorted(map(sum, zip(begins_ms, waits_ms, strict=True)))
    for number, turn_ms in enumerate(turns_ms):
        assert turn_ms - min(begins_ms) >= 0.8 * (number - 2) / rate * 1e3
    kinds = [(span.attributes or {}).get(semconv.WAIT_KIND) for span in found]
    assert kinds.count("rate_limit") == 4
    assert sum(queued_ms) >= 0.8 * sum(waits_ms)
    for span, queued in zip(found, queued_ms, strict=True):
        assert queued <= ((span.end_time or 0) - (span.start_time or 0)) / 1e6, "inside its span"


async def test_hosts_of_one_group_share_a_rate_and_others_do_not(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    port = URL(source.url).port
    slow = HostPolicy(requests_per_s=10, burst=1, rate_group="sec")
    alone = HostPolicy(requests_per_s=10, burst=1)

    async def ask(policy: HostPolicy) -> int:
        exporter.clear()
        async with (
            HttpPool(policies={"127.0.0.1": policy, "localhost": policy}) as pool,
            spans.run("test", provider=provider, attributes={}),
        ):
            await asyncio.gather(
                *(
                    pool.get_json(f"http://{host}:{port}/json")
                    for host in ("127.0.0.1", "localhost")
                )
            )
        return sum(semconv.RATE_WAIT_MS in (span.attributes or {}) for span in http_spans(exporter))

    assert await ask(slow) == 1
    assert await ask(alone) == 0


async def test_the_time_of_an_answer_does_not_run_while_a_request_waits_for_its_turn(
    source: FaultySource,
) -> None:
    policy = HostPolicy(requests_per_s=5, burst=1)
    async with HttpPool(total_s=0.3, default_policy=policy) as pool:
        began = perf_counter()
        answers = await asyncio.gather(*(pool.get_json(f"{source.url}/slow") for _ in range(4)))
    assert answers == ["slow"] * 4
    assert source.times("/slow")[-1] - began > 0.3, "the last one waited for longer than that"


async def test_a_request_that_waits_for_its_turn_counts_as_waiting_and_may_leave(
    source: FaultySource,
) -> None:
    async with HttpPool(default_policy=HostPolicy(requests_per_s=0.1, burst=1)) as pool:
        await pool.get_json(f"{source.url}/json")
        waiter = asyncio.create_task(pool.get_json(f"{source.url}/json"))
        await asyncio.sleep(0.02)
        assert (pool.connections.waiting, pool.connections.in_use) == (1, 0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert (pool.connections.waiting, pool.connections.in_use) == (0, 0)
    assert len(source.times("/json")) == 1


async def test_a_host_is_told_who_asks_unless_the_request_says_so_itself(
    source: FaultySource,
) -> None:
    policies = {
        "127.0.0.1": HostPolicy(user_agent="Someone someone@example.com"),
        "localhost": HostPolicy(redirects_to=("127.0.0.1",)),
    }
    async with HttpPool(policies=policies) as pool:
        headers = await pool.get_json(f"{source.url}/headers")
        named = await pool.get_json(f"{source.url}/headers", headers={"user-agent": "Mine"})
        elsewhere = await pool.get_json(
            f"http://localhost:{URL(source.url).port}/redirect",
            params={"to": f"{source.url}/headers"},
        )
    assert headers["user-agent"] == "Someone someone@example.com"
    assert named["user-agent"] == "Mine"
    assert elsewhere["user-agent"] == "Someone someone@example.com", "each hop by its own host"


async def test_one_hosts_user_agent_is_not_told_to_another(source: FaultySource) -> None:
    agent = "Someone someone@example.com"
    policies = {"127.0.0.1": HostPolicy(user_agent=agent, redirects_to=("localhost",))}
    port = URL(source.url).port
    async with HttpPool(policies=policies) as pool:
        sent_on = await pool.get_json(
            f"{source.url}/redirect", params={"to": f"http://localhost:{port}/headers"}
        )
    assert "Someone" not in sent_on["user-agent"]


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("http://localhost:{port}/json", "redirects to another host, which is not followed"),
        ("//localhost:{port}/json", "redirects to another host"),
        ("http://127.0.0.1.example.com:{port}/json", "redirects to another host"),
        ("file:///etc/passwd", "redirects to what is no http address"),
        ("gopher://127.0.0.1:{port}/json", "redirects to what is no http address"),
    ],
)
async def test_a_redirect_to_another_host_is_not_followed(
    source: FaultySource, to: str, problem: str
) -> None:
    port = URL(source.url).port
    async with HttpPool() as pool:
        with pytest.raises(SourceUnavailableError, match=problem) as refused:
            await pool.get_json(
                f"{source.url}/redirect?key=secret", params={"to": to.format(port=port)}
            )
    assert not refused.value.transient, "another attempt would be redirected too"
    assert "secret" not in str(refused.value)
    assert [path for path, _ in source.arrived] == ["/redirect"]


async def test_a_redirect_is_followed_to_the_host_itself_and_to_those_that_belong_to_it(
    source: FaultySource,
) -> None:
    elsewhere = f"http://localhost:{URL(source.url).port}"
    policies = {"127.0.0.1": HostPolicy(redirects_to=("localhost",))}
    async with HttpPool(policies=policies) as pool:
        for to in ("/json", f"{source.url}/json", f"{elsewhere}/json"):
            await pool.get_json(f"{source.url}/redirect", params={"to": to})
        # What holds for one host does not hold for the next one on the way.
        back = f"{elsewhere}/redirect?to={source.url}/json"
        with pytest.raises(SourceUnavailableError, match="redirects to another host"):
            await pool.get_json(f"{source.url}/redirect", params={"to": back})
    assert len(source.times("/json")) == 3


def test_the_hosts_of_yahoo_and_sec_redirect_to_those_of_their_own() -> None:
    for host, other in (
        ("query1.finance.yahoo.com", "consent.yahoo.com"),
        ("www.sec.gov", "data.sec.gov"),
    ):
        belonging = HOST_POLICIES[host].redirects_to
        assert is_followed(f"https://{host}/", f"https://{other}/", belonging)
        assert not is_followed(
            f"https://{host}/", f"https://evil{other[other.index('.') + 1 :]}/", belonging
        )
        assert not is_followed(f"https://{host}/", f"https://{other}.evil.example/", belonging)
        assert not is_followed(f"https://{host}/", f"http://{other}/", belonging)


async def test_a_browsers_session_at_yahoo_follows_none_to_another_host(
    source: FaultySource,
) -> None:
    port = URL(source.url).port

    def ask(to: str) -> Any:
        url = URL(f"{source.url}/redirect").with_query(to=to)
        return yfinance_reader.browser_json("Yahoo", url, source.url)

    assert (await asyncio.to_thread(ask, "/json"))["answer"] == [1, 2.5, None]
    with pytest.raises(SourceUnavailableError, match="redirects to another host"):
        await asyncio.to_thread(ask, f"http://localhost:{port}/json")
    with pytest.raises(SourceUnavailableError, match="redirects in circles"):
        await asyncio.to_thread(ask, "/circle")
    assert len(source.times("/json")) == 1


async def test_trace_headers_may_be_kept_even_from_this_machine(
    source: FaultySource, provider: TracerProvider
) -> None:
    policies = {"127.0.0.1": HostPolicy(propagate=False)}
    async with (
        HttpPool(policies=policies) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        headers = await pool.get_json(f"{source.url}/headers")
    assert "traceparent" not in headers


async def test_the_cap_on_a_body_is_its_hosts(source: FaultySource) -> None:
    policies = {"127.0.0.1": HostPolicy(max_body_bytes=1000)}
    async with HttpPool(policies=policies) as pool:
        with pytest.raises(BadAnswerError, match="more than 1000 bytes"):
            await pool.get_bytes(f"{source.url}/bytes/1001")
        large = await pool.get_bytes(f"http://localhost:{URL(source.url).port}/bytes/1001")
    assert len(large.body) == 1001
