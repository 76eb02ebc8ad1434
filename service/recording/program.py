"""Runs a program that is not changed, beside nothing: its streams, its signals, its exit code."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

_FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
_PYTHON_WORDS = ("-m", "-c")
_FIRST_LOOK_S = 10.0
_BEYOND_SIGNALS = 128


def command_of(words: Sequence[str]) -> list[str]:
    """The command that the words name; raises click.UsageError where there is none.

    A Python file that cannot be executed, `-m` and `-c` are for the Python of this program.
    """
    if not words:
        raise click.UsageError("name the program after --: trading-graph record -- python app.py")
    name = words[0]
    if name in _PYTHON_WORDS:
        return [sys.executable, *words]
    path = shutil.which(name)
    if path is not None:
        return [path, *words[1:]]
    if not Path(name).exists():
        raise click.UsageError(f"there is no program {name}")
    if name.endswith(".py"):
        return [sys.executable, *words]
    raise click.UsageError(f"{name} cannot be executed")


def run_program(
    command: Sequence[str], environment: Mapping[str, str], look: Callable[[], None]
) -> int:
    """Run a command to its end and return its exit code, 128 and more where a signal ended it.

    `look` is called once while it runs, some seconds after its start. Raises click.UsageError for a
    file that is no program.
    """
    with _Forwarding() as forwarding:
        try:
            # Descriptors that we were given are the program's: sockets of a service manager.
            process = subprocess.Popen(command, env=environment, close_fds=False)
        except OSError as error:
            raise click.UsageError(f"{command[0]} cannot be executed: {error.strerror}") from None
        forwarding.to(process)
        try:
            code = process.wait(_FIRST_LOOK_S)
        except subprocess.TimeoutExpired:
            look()
            code = process.wait()
    return code if code >= 0 else _BEYOND_SIGNALS - code


class _Forwarding:
    """Passes signals on to a process, those included that came before it had started."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> "_Forwarding":
        for number in _FORWARDED:
            # What is ignored here, as under nohup, the program ignores as well.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._forward)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def to(self, process: "subprocess.Popen[bytes]") -> None:
        """Name the process."""
        self._process = process
        for number in self._early:
            process.send_signal(number)

    def _forward(self, number: int, frame: FrameType | None) -> None:
        if number in _OF_THE_TERMINAL and _is_in_foreground():
            return  # The terminal has sent it to the program too, which must not get two.
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)


def _is_in_foreground() -> bool:
    """Whether the keys of a terminal reach this process, and so the program."""
    with _terminal() as descriptor:
        return descriptor is not None and os.tcgetpgrp(descriptor) == os.getpgrp()


@contextmanager
def _terminal() -> Iterator[int | None]:
    try:
        descriptor = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
