"""deploy/jaeger.yml: published on loopback only, and with settings that a real Jaeger takes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.jaeger_process import CONFIG, PORT_NAMES, binary_or_skip

COMPOSE = Path(__file__).resolve().parents[2] / "deploy" / "jaeger.yml"


@pytest.fixture
def service() -> dict[str, Any]:
    """Return the one service of the compose file."""
    services = YAML(typ="safe").load(COMPOSE)["services"]
    assert list(services) == ["jaeger"]
    found = services["jaeger"]
    assert isinstance(found, dict)
    return found


def test_the_file_is_a_compose_file() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*check, str(COMPOSE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_port_is_published_on_loopback_only(service: dict[str, Any]) -> None:
    published = {tuple(port.rsplit(":", 2)) for port in service["ports"]}
    assert published == {("127.0.0.1", port, port) for port in ("16686", "4317", "4318")}
    assert "network_mode" not in service


def test_the_image_is_pinned_and_has_a_health_check(service: dict[str, Any]) -> None:
    assert service["image"] == "jaegertracing/jaeger:2.20.0"
    assert "13133/status" in service["healthcheck"]["test"][-1]


def settings(with_volume: bool) -> list[str]:
    """Return the --set words of the file as it stands, or of the variant in its comments."""
    lines = [line.strip() for line in COMPOSE.read_text().splitlines()]
    mark = "# - --set" if with_volume else "- --set"
    return ["--set" + line.removeprefix(mark) for line in lines if line.startswith(mark)]


def validate(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Have Jaeger check the settings on a configuration whose store has the built-in one's name."""
    config = folder / "jaeger.yaml"
    text = CONFIG.replace("bounded", "some_storage")
    config.write_text(text.format(**dict.fromkeys(PORT_NAMES, 0)))
    command = [str(binary_or_skip()), "validate", "--config", str(config), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.jaeger
@pytest.mark.parametrize("with_volume", [False, True], ids=["memory", "badger"])
def test_a_real_jaeger_takes_the_settings(tmp_path: Path, with_volume: bool) -> None:
    words = settings(with_volume)
    assert words
    done = validate(tmp_path, words)
    assert done.returncode == 0, done.stderr


@pytest.mark.jaeger
def test_a_real_jaeger_refuses_a_misspelt_setting(tmp_path: Path) -> None:
    done = validate(tmp_path, [settings(with_volume=False)[0].replace("max_traces", "max_traits")])
    assert done.returncode != 0
    assert "max_traits" in done.stderr
