"""What refuses a connection to any host but this machine; needs the standard library alone.

It hears what Python's own sockets do. Libraries with sockets of their own (gRPC, libcurl, uvloop)
are out of its sight; no test uses them against a host that is not on loopback.
"""

import ipaddress
from collections.abc import Callable
from typing import Any


class ForeignHostError(OSError):
    """A test reached for a host that is not this machine."""


class NetworkGuard:
    """Refuses and records every attempt to reach a foreign host; hears Python's socket events.

    An audit hook stands below all patches and aliases of `socket`, and cannot be taken off again:
    `active` switches it.
    """

    def __init__(self) -> None:
        self.active = False
        self.attempts: list[str] = []
        self._verdicts: dict[str, Callable[[tuple[Any, ...]], str | None]] = {
            "socket.connect": lambda args: foreign_address(args[1]),
            "socket.sendto": lambda args: foreign_address(args[1]),
            "socket.sendmsg": lambda args: foreign_address(args[1]),
            "socket.getaddrinfo": lambda args: foreign_name(args[0]),
            "socket.gethostbyname": lambda args: foreign_name(args[0]),
            "socket.gethostbyaddr": lambda args: foreign_name(args[0]),
        }

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Judge one audit event."""
        verdict = self._verdicts.get(event)
        if verdict is None or not self.active:
            return
        host = verdict(args)
        if host is not None:
            self.attempts.append(f"{event} {host}")
            raise ForeignHostError(f"a test reached for the foreign host {host} ({event})")


def foreign_address(address: object) -> str | None:
    """Return the host of a socket address unless it is on this machine; paths are Unix sockets."""
    if not isinstance(address, tuple):
        return None
    host = str(address[0])
    return None if host in ("", "localhost") or is_loopback(host) else host


def foreign_name(name: object) -> str | None:
    """Return a name that would be looked up; a written address needs no look-up."""
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else str(name or "localhost")
    if text.rstrip(".").lower() == "localhost" or is_address(text):
        return None
    return text


def is_address(host: str) -> bool:
    """Tell whether the host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Tell whether the host is a written loopback address."""
    if not is_address(host):
        return False
    address = ipaddress.ip_address(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
