"""Debian's Chromium for tests, driven by Playwright, which brings no browser of its own.

Without one the tests are skipped, or fail where TRADING_GRAPH_REQUIRE_CHROMIUM is 1.
"""

import os
import shutil

import pytest

# Read on import: the guards remove the project's variables from the environment before any test.
REQUIRED = os.environ.get("TRADING_GRAPH_REQUIRE_CHROMIUM") == "1"

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_or_skip() -> str:
    """The browser's path, or skip the test that asks (or fail it where one is required)."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is not None:
        return found
    reason = "no Chromium here: apt-get install chromium"
    if REQUIRED:
        pytest.fail(f"{reason} (TRADING_GRAPH_REQUIRE_CHROMIUM=1)", pytrace=False)
    pytest.skip(reason)
