"""Debian's Chromium for tests, driven by Playwright, which brings no browser of its own.

Without one the tests are skipped, or fail where TRADING_GRAPH_REQUIRE_CHROMIUM is 1.
"""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Read on import: the guards remove the project's variables from the environment before any test.
REQUIRED = os.environ.get("TRADING_GRAPH_REQUIRE_CHROMIUM") == "1"

END_MS = 30_000
"""How long what a page is expected to show may take to come."""

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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Browser"]:
    """A browser for the tests of a module."""
    # Not above: this is a plugin of every test process, and few of them drive a browser.
    from playwright.sync_api import expect, sync_playwright

    path = chromium_or_skip()
    expect.set_options(timeout=END_MS)
    home = str(tmp_path_factory.mktemp("home"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, env={**os.environ, "HOME": home}
        )
        yield browser
        browser.close()
