"""Print what is needed to run of requirements.lock: `python deploy/runtime_lock.py [NAME]...`.

Without names it prints what trading-graph itself needs, with the extra `all`; with names, what
these need. The lock says beside each package which others it is there for; nothing else is asked,
and nothing is installed.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_EXTRAS = ("run", "serve", "langsmith", "grpc")

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_PACKAGE = re.compile(r"^(?P<name>[a-z0-9._-]+)==.*(?:\n[ #].*)*", re.MULTILINE)
_VIA = re.compile(r"^ +# +(?:via +)?(?P<name>[a-z0-9._-]+)(?: .*)?$", re.MULTILINE)


def needed(lock: str, names: Iterable[str]) -> list[str]:
    """The entries of a lock that the names need, they themselves among them."""
    entries = [(found["name"], found.group()) for found in _PACKAGE.finditer(lock)]
    wanted = {name.lower() for name in names}
    while True:
        more = {name for name, entry in entries if wanted & {*_VIA.findall(entry)}} - wanted
        if not more:
            return [entry for name, entry in entries if name in wanted]
        wanted |= more


def main() -> None:
    """Print the entries."""
    names = sys.argv[1:]
    if not names:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = project["optional-dependencies"]
        lines = [*project["dependencies"], *(each for name in _EXTRAS for each in extras[name])]
        names = [found[0] for each in lines if (found := _NAME.match(each))]
    print(*needed((ROOT / "requirements.lock").read_text("utf-8"), names), sep="\n")


if __name__ == "__main__":
    main()
