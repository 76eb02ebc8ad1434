"""A clock of the machine that a test sets back and forward while things go on."""

import sys
import time
from dataclasses import dataclass

import pytest

_REAL = {"time": time.time, "time_ns": time.time_ns}


@dataclass
class SetClock:
    """The machine's clock, so many seconds ahead of the real one."""

    ahead_s: int = 0

    def time(self) -> float:
        """What `time.time` says."""
        return _REAL["time"]() + self.ahead_s

    def time_ns(self) -> int:
        """What `time.time_ns` says."""
        return int(_REAL["time_ns"]()) + self.ahead_s * 1_000_000_000


def settable_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Have every module that is loaded read a clock that can be set."""
    clock = SetClock()
    replaced = {_REAL["time"]: clock.time, _REAL["time_ns"]: clock.time_ns}
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if module.__name__ != __name__ and any(value is real for real in _REAL.values()):
                monkeypatch.setattr(module, name, replaced[value])
    return clock
