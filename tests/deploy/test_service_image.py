"""deploy/Dockerfile and deploy/service.yml, as far as they can be tried without an engine."""

import fnmatch
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML

from tests.service.server.serve_process import COMMAND, QUICK, serving
from tests.service.server.test_serve_command import TOKEN, WITH_TOKEN, ask, over

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "service.yml"


def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and line[0] != "#"]
    assert not any(line.endswith("\\") for line in lines), "an instruction is one line here"
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def last(instruction: str) -> str:
    return [words for name, words in steps() if name == instruction][-1]


@pytest.fixture
def services() -> dict[str, Any]:
    found = YAML(typ="safe").load(COMPOSE)["services"]
    assert set(found) == {"jaeger", "service"}
    return dict(found)


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path from the build, as its last rule on it says."""
    verdict = False
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = rule.removeprefix("!")
        if not rule or rule.startswith("#"):
            continue
        parts = [path, *(str(parent) for parent in Path(path).parents)]
        if pattern.startswith("**/"):
            hit = any(fnmatch.fnmatch(part, pattern[3:]) for part in Path(path).parts)
        else:
            hit = any(fnmatch.fnmatch(part, pattern) for part in parts)
        if hit:
            verdict = not rule.startswith("!")
    return verdict


def test_what_is_copied_is_there_and_not_ignored() -> None:
    sources = [
        source
        for name, words in steps()
        if name == "COPY" and not words.startswith("--from")
        for source in shlex.split(words)[:-1]
    ]
    assert {"otel", "toolkit", "graph", "service", "requirements.lock"} <= set(sources)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source


def test_the_build_sees_no_key_no_run_and_no_history() -> None:
    for path in (".env", "service/.env", ".git", ".git/config", "runs/x/decision.json", "logs/a"):
        assert ignored(path), path
    for path in ("tests/conftest.py", ".venv/bin/python", "service/__pycache__/x.pyc"):
        assert ignored(path), path
    for path in ("service/cli/__init__.py", "deploy/runtime_lock.py", "toolkit/py.typed"):
        assert not ignored(path), path


def test_the_image_is_small_pinned_and_nobody_is_root() -> None:
    bases = [words.split()[0] for name, words in steps() if name == "FROM"]
    assert len(bases) == 2
    assert set(bases) == {"python:3.11-slim"}, "a tag, and no registry's name"
    user = last("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user), "numbers, so that runAsNonRoot can see"
    names = [name for name, _ in steps()]
    assert names.index("USER") > len(names) - names[::-1].index("RUN") - 1, "root runs nothing"
    assert "ADD" not in names
    text = DOCKERFILE.read_text()
    assert not re.search(r"apt|curl|wget|SECRET|_KEY|://", text)
    installs = re.findall(r"pip install (.*?)(?:&&|$)", text, re.MULTILINE)
    assert all("--no-deps" in each for each in installs)
    assert sum("--require-hashes" in each for each in installs) == len(installs) - 1


def test_it_serves_beyond_loopback_and_so_needs_a_token(
    tmp_path: Path, services: dict[str, Any]
) -> None:
    command = [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]
    assert command[:2] == ["trading-graph", "serve"]
    done = subprocess.run(
        [*COMMAND, *command[2:]],
        cwd=tmp_path,
        env={**os.environ, **QUICK},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no token is set" in done.stderr
    token = services["service"]["environment"]["TRADING_GRAPH_SERVE_TOKEN_SHA256"]
    assert ":?" in token
    assert "--new-token" in token


def health_check(port: int) -> int:
    """The exit code of the image's health check, asking another port."""
    words = json.loads(last("HEALTHCHECK").partition(" CMD ")[2])
    assert words[0] == "python"
    assert "8321" in words[-1]
    code = words[-1].replace("8321", str(port))
    return subprocess.run([sys.executable, *words[1:-1], code], capture_output=True).returncode


def test_the_health_check_tells_a_service_that_lives_from_none(tmp_path: Path) -> None:
    with serving(tmp_path, **WITH_TOKEN) as service:
        port = int(service.url.rpartition(":")[2])
        assert health_check(port) == 0
        service.process.kill()
        service.ended()
        assert health_check(port) != 0


def test_the_file_is_a_compose_file() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(COMPOSE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deploy/service.yml" in (ROOT / ".ci" / "run").read_text()


def test_the_service_has_no_rights_and_one_place_to_write(services: dict[str, Any]) -> None:
    service = services["service"]
    assert service["read_only"] is True
    assert service["user"] == last("USER")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [each.partition(":")[0] for each in service["tmpfs"]] == ["/tmp"]
    assert service["volumes"] == [f"data:{last('VOLUME')}"]
    assert last("WORKDIR") == last("VOLUME"), "runs/ and logs/ are made where it works"
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices"} & set(service)


def test_every_port_is_on_loopback_and_the_addresses_fit(services: dict[str, Any]) -> None:
    ports = [port for each in services.values() for port in each["ports"]]
    assert sorted(ports) == ["127.0.0.1:16686:16686", "127.0.0.1:8321:8321"]
    assert last("EXPOSE") == "8321"
    environment = services["service"]["environment"]
    assert environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"
    assert environment["TRADING_GRAPH_JAEGER_URL"] == "http://jaeger:16686"
    other = YAML(typ="safe").load(ROOT / "deploy" / "jaeger.yml")["services"]["jaeger"]
    assert services["jaeger"]["image"] == other["image"]


def test_a_signal_leaves_it_the_time_to_drain(services: dict[str, Any]) -> None:
    from trading_graph.service.settings import Settings

    grace = float(services["service"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings(_env_file=None).serve_drain_s + 5


def runtime_lock(*names: str) -> dict[str, str]:
    """What deploy/runtime_lock.py prints, by package."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "runtime_lock.py"), *names],
        capture_output=True,
        text=True,
        check=True,
    )
    entries = re.split(r"^(?=[a-z])", done.stdout, flags=re.MULTILINE)
    return {each.partition("==")[0]: each for each in entries if each.strip()}


def installed_closure(name: str, extras: frozenset[str] = frozenset()) -> Iterator[str]:
    """What an installed distribution needs here, it itself among it."""
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [(name, extras)]
    while todo:
        one = todo.pop()
        if one in seen:
            continue
        seen.add(one)
        yield re.sub(r"[-_.]+", "-", one[0]).lower()
        for text in importlib.metadata.requires(one[0]) or []:
            needed = Requirement(text)
            environments = [{"extra": extra} for extra in one[1]] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(each) for each in environments):
                todo.append((needed.name, frozenset(needed.extras)))


def test_all_that_is_needed_to_run_is_installed_and_nothing_to_develop() -> None:
    lock = runtime_lock()
    needed = set(installed_closure("trading-graph")) - {"trading-graph"}
    assert needed <= set(lock)
    assert not {"pytest", "mypy", "ruff", "playwright", "hypothesis", "hatchling"} & set(lock)
    assert all("--hash=sha256:" in entry for entry in lock.values())
    assert {"hatchling", "pluggy"} <= set(runtime_lock("hatchling"))
    whole = (ROOT / "requirements.lock").read_text()
    assert all(entry.strip() in whole for entry in lock.values())


CONTAINED = """
set -e
mount --bind "$1" "$1"
mount --bind "$2" "$2"
mount -o remount,ro,bind /
cd "$1"
shift 2
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


def test_it_works_without_rights_on_a_read_only_file_system(tmp_path: Path) -> None:
    """As the compose file contains it: nothing to write to but the volume and /tmp."""
    data, scratch = tmp_path / "data", tmp_path / "scratch"
    data.mkdir()
    scratch.mkdir()
    contained = ["unshare", "-m", "sh", "-c", CONTAINED, "sh", str(data), str(scratch)]
    try:
        tried = subprocess.run([*contained, "touch", str(tmp_path / "x")], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if b"Read-only file system" not in tried.stderr:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.decode()}")
    env = {"HOME": str(data), "XDG_CACHE_HOME": str(scratch), "TMPDIR": str(scratch)}
    with serving(tmp_path, before=contained, **WITH_TOKEN, **env) as service:
        token = {"Authorization": f"Bearer {TOKEN}"}
        _, run = ask(service.url, "POST", "/v1/runs", {"symbol": "AAPL"}, **token)
        assert over(service.url, run["id"], **token)["state"] == "done"
        assert ask(service.url, "GET", run["links"]["diagnosis"], **token)[0] == 200
        service.process.terminate()
        assert service.ended() == 0, service.talk
    assert (data / "runs" / run["id"] / "decision.json").exists()
    assert (data / "logs" / "trading_graph.log").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "scratch"]
