"""The delays of one run: which spans and tasks are held, and for how long.

A span is named by its key: the names and the activities from the top of its trace down to it. Where
the names alone say which span is meant, these are a key too, because a worker takes other items in
each run.

Tasks that one activity makes at one moment are held for a random while before their first step,
which changes who comes first to a limit. Each hold follows from the path of the task's activity,
the numbers in which each activity made the next one. A plan names the tasks that lead to spans, and
gives all others together so much time, since a program may make thousands of tasks for its streams.

The witness reads a plan in the program that is probed, so this imports the standard library alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

TOP = ""
"""The key above the first span of a trace."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The seconds by which spans are held, by key, and those by which tasks are held at most.

    `tasks` are the paths of those that lead to spans; all others are held for `others_s` together.

    `token` is that of the run for which the plan was made, and `process` the one that made it:
    nobody else's run is ever delayed.
    """

    token: str
    process: int
    spans: Mapping[str, float] = field(default_factory=dict)
    tasks_s: float = 0.0
    salt: int = 0
    tasks: frozenset[str] = frozenset()
    others_s: float = 0.0

    def of_task(self, path: str) -> float:
        """How long a task is held, by the path of its activity and the salt."""
        if not self.tasks_s:
            return 0.0
        drawn = blake2b(f"{self.salt} {path}".encode(), digest_size=4).digest()
        return self.tasks_s * int.from_bytes(drawn) / 2**32

    def to_json(self) -> str:
        """The plan as a file holds it."""
        return json.dumps(
            {
                "token": self.token,
                "process": self.process,
                "spans": dict(self.spans),
                "tasks_s": self.tasks_s,
                "salt": self.salt,
                "tasks": sorted(self.tasks),
                "others_s": self.others_s,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan of a file; raises ValueError, KeyError or TypeError for what is none."""
        read = json.loads(text)
        return cls(
            str(read["token"]),
            int(read["process"]),
            {str(key): float(seconds) for key, seconds in read["spans"].items()},
            float(read["tasks_s"]),
            int(read["salt"]),
            frozenset(map(str, read["tasks"])),
            float(read["others_s"]),
        )


def span_key(above: str, name: str, activity: str, number: int) -> str:
    """The key of a span: the key of its parent, its name, its activity, its number there."""
    return f"{above}/{name}#{activity}.{number}"


def name_key(above: str, name: str) -> str:
    """The key of a span by names alone."""
    return f"{above}/{name}"
