"""Print what names need of requirements.lock: `python deploy/runtime_lock.py [NAME]...`.

A name is that of a package, `trading-graph` for what its base install needs, or with extras,
`trading-graph[run,serve]`. Without names it prints what the service's image needs: every extra but
the developers'. The lock says beside each package which others it is there for; nothing else is
asked, and nothing is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

_OURS = "trading-graph"
_ALL = f"{_OURS}[all]"

_NAME = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?")
_PACKAGE = re.compile(r"^(?P<name>[a-z0-9._-]+)==.*(?:\n[ #].*)*", re.MULTILINE)
_VIA = re.compile(r"^ +# +(?:via +)?(?P<name>[a-z0-9._-]+)(?: .*)?$", re.MULTILINE)


class UnknownNameError(Exception):
    """A name is in no lock and no extra; the message says which."""


def needed(lock: str, names: Iterable[str]) -> list[str]:
    """The entries of a lock that the names need, they themselves among them."""
    entries = [(found["name"], found.group()) for found in _PACKAGE.finditer(lock)]
    wanted = set(names)
    if unknown := wanted - {name for name, _ in entries}:
        raise UnknownNameError(f"The lock has no {', '.join(sorted(unknown))}.")
    while True:
        more = {name for name, entry in entries if wanted & {*_VIA.findall(entry)}} - wanted
        if not more:
            return [entry for name, entry in entries if name in wanted]
        wanted |= more


def packages(project: dict[str, Any], names: Iterable[str]) -> set[str]:
    """The packages that names stand for: our own stands for what pyproject.toml says it needs."""
    found: set[str] = set()
    for text in names:
        name, extras = _parts(text)
        if name == _OURS:
            found |= packages(project, project["dependencies"])
            found |= packages(project, _lines(project, extras))
        else:
            found.add(name)
    return found


def _lines(project: dict[str, Any], extras: Iterable[str]) -> Iterator[str]:
    """The requirements of extras, those of the extras that they refer to among them."""
    todo, seen = [*extras], set[str]()
    while todo:
        extra = todo.pop()
        if extra in seen:
            continue
        seen.add(extra)
        if extra not in project["optional-dependencies"]:
            raise UnknownNameError(f"There is no extra [{extra}].")
        for line in project["optional-dependencies"][extra]:
            name, more = _parts(line)
            if name == _OURS:
                todo += more
            else:
                yield line


def _parts(text: str) -> tuple[str, list[str]]:
    """The name of a requirement as the lock spells it, and its extras."""
    match = _NAME.match(text)
    if match is None:
        raise UnknownNameError(f"{text!r} is no name of a package.")
    extras = [each.strip() for each in (match["extras"] or "").split(",")]
    return re.sub(r"[-_.]+", "-", match["name"]).lower(), [each for each in extras if each]


def main() -> int:
    """Print the entries."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    try:
        print(*needed(lock, packages(project, sys.argv[1:] or [_ALL])), sep="\n")
    except UnknownNameError as error:
        sys.stderr.write(f"runtime_lock: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
