"""What a refusal says about when to ask again, in every form that services use."""

import datetime
import email.utils
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.chat.retries import duration, stated_wait

NOON = "Fri, 27 Nov 2026 12:00:00 GMT"
NOON_EPOCH = datetime.datetime(2026, 11, 27, 12, tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "7s"}, 7),
        ({"retry-after": "Fri, 27 Nov 2026 12:00:40 GMT", "date": NOON}, 40),
        ({"retry-after": "Fri, 27 Nov 2026 11:59:00 GMT", "date": NOON}, 0),
        ({"retry-after": "Fri, 27 Nov 2026 12:00:40 -0000", "date": NOON}, 40),
        ({"retry-after-ms": "250", "retry-after": "30"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "30"}, 30),
        ({"retry-after": "12", "x-ratelimit-reset-requests": "6m0s"}, 12),
        ({"x-ratelimit-reset-requests": "1s"}, 1),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-reset-requests": "8h38m24s"}, 31104),
        ({"x-ratelimit-reset-tokens": "2m59.56s"}, 179.56),
        # Of two limits the one that is used up; without a word on that, the longer one.
        (
            {
                "x-ratelimit-reset-requests": "24h",
                "x-ratelimit-remaining-requests": "900",
                "x-ratelimit-reset-tokens": "4s",
                "x-ratelimit-remaining-tokens": "0",
            },
            4,
        ),
        ({"x-ratelimit-reset-requests": "3s", "x-ratelimit-reset-tokens": "9s"}, 9),
        ({"x-ratelimit-reset": f"{NOON_EPOCH + 15:.0f}", "date": NOON}, 15),
        ({"x-ratelimit-reset": f"{(NOON_EPOCH + 15) * 1000:.0f}", "date": NOON}, 15),
        # Azure says this where it says nothing.
        ({"x-ratelimit-reset-tokens": "0", "x-ratelimit-remaining-tokens": "-1"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_every_form_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert stated_wait(headers) == (None if seconds is None else pytest.approx(seconds))


def test_a_date_is_measured_by_the_clock_of_the_service() -> None:
    """A machine whose clock is an hour off waits no hour more, and no hour less."""
    ahead = time.time() + 3600
    headers = {
        "date": email.utils.formatdate(ahead, usegmt=True),
        "retry-after": email.utils.formatdate(ahead + 20, usegmt=True),
    }
    assert stated_wait(headers) == pytest.approx(20)


def test_a_date_without_a_clock_of_the_service_is_measured_by_ours() -> None:
    wait = stated_wait({"retry-after": email.utils.formatdate(time.time() + 300, usegmt=True)})
    assert wait is not None
    assert 200 < wait < 301


def test_the_details_of_googles_errors_say_when() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
    body = [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{}, info]}}]
    assert stated_wait({}, body) == pytest.approx(34.5)


@given(st.integers(0, 10**7), st.sampled_from(["s", "ms", "m", "h"]))
def test_a_duration_means_its_unit(number: int, unit: str) -> None:
    size = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]
    assert duration(f"{number}{unit}") == pytest.approx(number * size)


@given(st.integers(0, 99), st.integers(0, 59), st.floats(0, 59.999))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: float) -> None:
    text = f"{hours}h{minutes}m{seconds:.3f}s"
    assert duration(text) == pytest.approx(hours * 3600 + minutes * 60 + seconds, abs=0.001)


HEADERS = st.sampled_from(
    ["retry-after", "retry-after-ms", "date", "x-ratelimit-reset", "x-ratelimit-reset-tokens"]
)
TEXTS = st.one_of(st.text(max_size=40), st.from_regex(r"\d+(\.\d+)?(s|ms|h)?"), st.just("9" * 400))
BODIES = st.recursive(
    st.one_of(st.none(), st.text(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["error", "details", "retryDelay"]), inner),
    ),
)


@given(st.dictionaries(HEADERS, TEXTS), BODIES)
def test_whatever_is_said_gives_a_wait_that_can_be_slept_or_none(
    headers: dict[str, str], body: Any
) -> None:
    wait = stated_wait(headers, body)
    assert wait is None or (math.isfinite(wait) and 0 <= wait <= 366 * 86400)
