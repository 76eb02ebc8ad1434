"""Lets tests interrupt programs, however the test command was started.

A pytest plugin. A shell without job control starts what stands before `&` with SIGINT ignored, and
a process hands that on to all that it starts: no program of a test would hear an interrupt. Ours
keep to that custom, so it is the tests that go back to the default, in the first process of all.
"""

import signal

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Hear interrupts again, before anything is started: processes of xdist, or programs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
