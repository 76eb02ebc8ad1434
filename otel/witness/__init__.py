"""Records on every span what its times cannot show: a stand-in until the core is here."""

from collections.abc import Iterator
from contextlib import contextmanager

_installed = False


def install() -> None:
    """Begin to record."""
    global _installed
    _installed = True


def uninstall() -> None:
    """Record no longer."""
    global _installed
    _installed = False


def is_installed() -> bool:
    """Whether it records."""
    return _installed


@contextmanager
def recording() -> Iterator[None]:
    """Record while the block runs."""
    was_installed = is_installed()
    install()
    yield
    if not was_installed:
        uninstall()
