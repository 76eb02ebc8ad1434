"""Trying again: what may pass is asked again in plain sight, what may not is not."""

import asyncio
import datetime
from email.utils import format_datetime

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.toolkit.faulty_source import FaultySource
from tests.toolkit.spans_in_memory import http_spans, spans_of
from trading_graph.otel import spans
from trading_graph.otel.trace import semconv
from trading_graph.toolkit.errors import (
    DataError,
    HttpStatusError,
    RateLimitError,
    SourcePausedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from trading_graph.toolkit.http_retries import retry_after_s
from trading_graph.toolkit.pool import HttpPool
from trading_graph.toolkit.rate_limits import HostPolicy

QUICK = HostPolicy(retry_wait_s=0.001, breaker_failures=None)
NOW = datetime.datetime(2026, 11, 25, 12, 0, 0, tzinfo=datetime.UTC)


# What is tried again


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again_and_the_span_of_the_fetch_says_so(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter, status: int
) -> None:
    source.refusals = [(status, {}), (status, {})]
    async with (
        HttpPool(default_policy=QUICK) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        with spans.fetch("test"):
            assert await pool.get_json(f"{source.url}/flaky") == "at last"
    (fetch,) = spans_of(exporter, "fetch test")
    retries = [event for event in fetch.events if event.name == "retry"]
    kind = (
        "trading_graph.toolkit.errors.RateLimitError"
        if status == 429
        else "trading_graph.toolkit.errors.HttpStatusError"
    )
    assert [dict(event.attributes or {}) for event in retries] == [
        {"attempt": 1, "error.type": kind},
        {"attempt": 2, "error.type": kind},
    ]
    requests = [span.attributes or {} for span in http_spans(exporter)]
    assert [each["http.response.status_code"] for each in requests] == [status, status, 200]
    assert [each.get(semconv.RESEND_COUNT) for each in requests] == [None, 1, 2]


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("/status/400", 1),
        ("/status/401", 1),
        ("/status/403", 1),
        ("/status/404", 1),
        ("/status/304", 1),
        ("/bytes/9000000", 1),
        ("/too-long-header", 1),
        ("/html", 1),
        ("/truncated", 1),
        ("/status/503", 3),
        ("/reset", 3),
        ("/broken-off", 3),
        ("/not-gzip", 3),
    ],
)
async def test_only_what_may_pass_is_tried_again_and_not_for_ever(
    source: FaultySource, path: str, count: int
) -> None:
    async with HttpPool(default_policy=QUICK) as pool:
        with pytest.raises(DataError):
            await pool.get_json(f"{source.url}{path}")
    assert len(source.times(path)) == count


async def test_an_unreachable_host_and_a_silent_one_are_tried_again(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(default_policy=QUICK, sock_read_s=0.05) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        with pytest.raises(SourceUnavailableError, match="cannot be reached"):
            await pool.get_json("http://127.0.0.1:1/")
        assert len(http_spans(exporter)) == 3
        with pytest.raises(SourceTimeoutError):
            await pool.get_json(f"{source.url}/slow?s=60")
    assert len(source.times("/slow")) == 3


async def test_no_try_begins_after_the_time_of_one_has_passed(source: FaultySource) -> None:
    """Three tries of a source that takes all its time would take three times as long."""
    async with HttpPool(default_policy=QUICK, total_s=0.1) as pool:
        with pytest.raises(SourceTimeoutError):
            await pool.get_json(f"{source.url}/slow?s=60")
    assert len(source.times("/slow")) == 1


async def test_a_cancelled_caller_tries_no_more(source: FaultySource) -> None:
    policy = HostPolicy(attempts=1000, retry_wait_s=0.01, breaker_failures=None)
    async with HttpPool(default_policy=policy) as pool:
        task = asyncio.create_task(pool.get_json(f"{source.url}/status/503"))
        await source.wait_for(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        count = len(source.arrived)
        await asyncio.sleep(0.1)
        assert len(source.arrived) <= count + 1, "one may have been on its way"


async def test_a_connection_that_the_server_closed_meanwhile_is_no_hidden_retry(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """The library would send the request again inside the same span; here each has its own."""
    async with (
        HttpPool(default_policy=HostPolicy(breaker_failures=1)) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        for _ in range(2):
            with spans.fetch("test"):
                assert await pool.get_json(f"{source.url}/fresh-only") == "fresh"
    assert len(source.times("/fresh-only")) == 3
    attributes = [span.attributes or {} for span in http_spans(exporter)]
    assert [each.get("error.type") for each in attributes] == [
        None,
        "trading_graph.toolkit.http_retries.ConnectionBrokenError",
        None,
    ]
    assert [each[semconv.POOL_REUSED] for each in attributes] == [False, True, False]
    _, second = spans_of(exporter, "fetch test")
    assert [event.name for event in second.events] == ["retry"], "nobody's fault: no breaker opens"


async def test_a_reset_on_a_new_connection_reaches_the_server_as_often_as_it_is_told(
    source: FaultySource,
) -> None:
    once = HostPolicy(attempts=1)
    async with HttpPool(default_policy=once) as pool:
        with pytest.raises(SourceUnavailableError, match="broke off"):
            await pool.get_json(f"{source.url}/reset")
    assert len(source.times("/reset")) == 1


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        (format_datetime(NOW + datetime.timedelta(seconds=90), usegmt=True), 90.0),
        ("Wed, 25 Nov 2026 13:00:30 +0100", 30.0),
        ("Wed, 25 Nov 2026 12:00:30 -0000", 30.0),
        (format_datetime(NOW - datetime.timedelta(days=1), usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("99999999999999999999", None),
        ("Wed, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_both_forms_of_retry_after_are_read_and_rubbish_is_not(
    text: str, seconds: float | None
) -> None:
    assert retry_after_s(text, NOW) == seconds


async def test_retry_after_is_waited_for_by_every_request_to_the_host(
    source: FaultySource,
) -> None:
    source.refusals = [(429, {"Retry-After": "1"})]
    async with HttpPool(default_policy=QUICK) as pool:
        refused = asyncio.create_task(pool.get_json(f"{source.url}/flaky"))
        await source.wait_for(1)
        await asyncio.sleep(0.1)
        await asyncio.gather(refused, pool.get_json(f"{source.url}/json"))
    first, *later = sorted(when for _, when in source.arrived)
    assert len(later) == 2
    assert all(when - first >= 0.95 for when in later), "the second asker waits too"


async def test_retry_after_as_a_date_is_waited_for(source: FaultySource) -> None:
    now = datetime.datetime.now(datetime.UTC)
    date = format_datetime(now + datetime.timedelta(seconds=2), usegmt=True)
    source.refusals = [(503, {"Retry-After": date})]
    async with HttpPool(default_policy=QUICK) as pool:
        assert await pool.get_json(f"{source.url}/flaky") == "at last"
    first, second = source.times("/flaky")
    assert second - first >= 0.45, "a date has whole seconds"


async def test_a_longer_retry_after_ends_the_tries_and_leaves_the_host_alone(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    source.refusals = [(429, {"Retry-After": "60"})]
    async with HttpPool() as pool, spans.run("test", provider=provider, attributes={}):
        with pytest.raises(RateLimitError, match="again in 60 s") as refused, spans.fetch("test"):
            await pool.get_json(f"{source.url}/flaky")
        with pytest.raises(SourcePausedError, match=r"not asked for now.*again in \d+ s") as pause:
            await pool.get_json(f"{source.url}/json")
    assert refused.value.retry_after_s == 60
    assert 50 < (pause.value.retry_after_s or 0) <= 60
    assert len(source.arrived) == 1


# The breaker of a host


def _opens(after: int, for_s: float = 0.1) -> HostPolicy:
    return HostPolicy(attempts=1, breaker_failures=after, breaker_open_s=for_s)


async def test_after_failures_in_a_row_the_host_is_left_alone_and_spans_say_so(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(default_policy=_opens(3, 60)) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        for _ in range(5):
            with pytest.raises(SourceUnavailableError), spans.fetch("test"):
                await pool.get_json(f"{source.url}/status/503")
    assert len(source.arrived) == 3
    fetches = spans_of(exporter, "fetch test")
    assert [(span.attributes or {}).get(semconv.BREAKER) for span in fetches] == [
        None,
        None,
        "open",
        "open",
        "open",
    ]
    opened = [event for span in fetches for event in span.events if event.name == "breaker opened"]
    (event,) = opened
    assert (event.attributes or {})["failures"] == 3
    kinds = [(span.attributes or {})["error.type"] for span in fetches]
    assert (
        kinds
        == ["trading_graph.toolkit.errors.HttpStatusError"] * 3
        + ["trading_graph.toolkit.errors.SourcePausedError"] * 2
    )


async def test_a_hundred_callers_of_a_host_that_is_back_send_one_probe(
    source: FaultySource, provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    async with (
        HttpPool(default_policy=_opens(1)) as pool,
        spans.run("test", provider=provider, attributes={}),
    ):
        with pytest.raises(HttpStatusError):
            await pool.get_json(f"{source.url}/status/503")
        await asyncio.sleep(0.12)
        outcomes = await asyncio.gather(
            *(pool.get_json(f"{source.url}/slow") for _ in range(100)), return_exceptions=True
        )
        assert len(source.times("/slow")) == 1
        assert outcomes.count("slow") == 1
        assert sum(isinstance(outcome, SourcePausedError) for outcome in outcomes) == 99
        assert await pool.get_json(f"{source.url}/json"), "the probe has closed it"
    _, probe, after = http_spans(exporter)
    assert (probe.attributes or {})[semconv.BREAKER] == "half_open"
    assert semconv.BREAKER not in (after.attributes or {})


async def test_a_cancelled_probe_leaves_the_next_one_to_try(source: FaultySource) -> None:
    async with HttpPool(default_policy=_opens(1)) as pool:
        with pytest.raises(HttpStatusError):
            await pool.get_json(f"{source.url}/status/503")
        await asyncio.sleep(0.12)
        probe = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=60"))
        await asyncio.sleep(0.02)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert await pool.get_json(f"{source.url}/json")


async def test_what_the_host_answers_is_not_its_failure(source: FaultySource) -> None:
    async with HttpPool(default_policy=_opens(2, 60)) as pool:
        for _ in range(3):
            with pytest.raises(HttpStatusError):
                await pool.get_json(f"{source.url}/status/503")
            with pytest.raises(HttpStatusError):
                await pool.get_json(f"{source.url}/status/404")
    assert len(source.arrived) == 6, "none was refused by the breaker"


async def test_a_queue_in_our_own_pool_is_not_the_hosts_failure_nor_tried_again(
    source: FaultySource,
) -> None:
    policy = HostPolicy(breaker_failures=1, retry_wait_s=0.001)
    async with HttpPool(limit_per_host=1, connect_s=0.05, default_policy=policy) as pool:
        holder = asyncio.create_task(pool.get_json(f"{source.url}/slow?s=0.3"))
        await asyncio.sleep(0)
        with pytest.raises(SourceTimeoutError, match="gave no connection in time"):
            await pool.get_json(f"{source.url}/json")
        assert await holder == "slow"
        assert await pool.get_json(f"{source.url}/json")


async def test_one_host_that_fails_does_not_stop_another(source: FaultySource) -> None:
    async with HttpPool(default_policy=_opens(1, 60)) as pool:
        with pytest.raises(SourceUnavailableError):
            await pool.get_json("http://127.0.0.1:1/")
        with pytest.raises(SourcePausedError):
            await pool.get_json("http://127.0.0.1:1/")
        assert await pool.get_json(f"{source.url}/json")


async def test_who_waits_for_a_turn_while_the_host_breaks_is_not_sent(
    source: FaultySource,
) -> None:
    policy = HostPolicy(
        requests_per_s=1, burst=1, attempts=1, breaker_failures=1, breaker_open_s=60
    )
    async with HttpPool(default_policy=policy) as pool:
        outcomes = await asyncio.gather(
            *(pool.get_json(f"{source.url}/status/503") for _ in range(2)), return_exceptions=True
        )
    assert [type(outcome) for outcome in outcomes] == [HttpStatusError, SourcePausedError]
    assert len(source.arrived) == 1
