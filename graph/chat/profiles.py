"""What the services' own pages say of them: `profiles.toml` beside this module.

A profile is where a model starts from; what its service then refuses is learned in a run. A service
of which no page could be read has no profile, and the general one, which says nothing, serves it.
Light to import: `doctor` asks for profiles in an install without a model client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

OPENAI_URL = "https://api.openai.com/v1"
GENERAL = "general"

Field: TypeAlias = str | bool


class ProfileFileError(ValueError):
    """The file of profiles cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A field of `Capabilities` as a page has it, and when that page was read."""

    value: Field
    page: str
    read_on: date


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of one model of one service; `read_on` is None for the general profile."""

    name: str
    page: str
    read_on: date | None
    facts: Mapping[str, Fact]

    @property
    def fields(self) -> dict[str, Field]:
        """The fields of `Capabilities` that differ from the general ones."""
        return {name: fact.value for name, fact in self.facts.items()}


GENERAL_PROFILE = Profile(GENERAL, "", None, MappingProxyType({}))


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The facts of the models whose name fits a pattern, all from one page."""

    pattern: str
    page: str | None = None  # None: the page of the service.
    read_on: date | None = None
    api: Literal["chat", "responses"] | None = None
    forcing: Literal["named", "required", "auto", "json_schema", "json_text"] | None = None
    stream_options: bool | None = None
    parallel_tool_calls: bool | None = None
    user_after_tool: bool | None = None
    tool_choice_none: bool | None = None
    tools_with_history: bool | None = None
    reasoning_field: (
        Literal["reasoning_content", "reasoning", "reasoning_details", "extra_content", ""] | None
    ) = None
    reasoning_effort: str | None = None
    temperature: bool | None = None
    system_role: Literal["system", "developer"] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError where a page of its own has no date, or a date no page."""
        if (self.page is None) != (self.read_on is None):
            raise ValueError(f"`page` and `read_on` of pattern {self.pattern!r} go together")

    def facts(self, page: str, read_on: date) -> dict[str, Fact]:
        """The facts by field; those without a page of their own rest on that of the service."""
        values: dict[str, Any] = msgspec.structs.asdict(self)
        source = (values.pop("page") or page, values.pop("read_on") or read_on)
        del values["pattern"]
        return {name: Fact(value, *source) for name, value in values.items() if value is not None}


class Service(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A service: where it is found, and its models' facts; a later pattern wins over an earlier.

    A host is `api.example.com`, which stands for the names below it too; `localhost:8000`, a port
    of this machine; or `:11434`, a port of any machine.
    """

    name: str
    hosts: tuple[str, ...]
    page: str
    read_on: date
    model: tuple[ModelFacts, ...] = ()

    def profile(self, model: str) -> Profile:
        """What is known of a model of this service."""
        facts: dict[str, Fact] = {}
        for models in self.model:
            if fnmatchcase(model.lower(), models.pattern):
                facts |= models.facts(self.page, self.read_on)
        return Profile(self.name, self.page, self.read_on, MappingProxyType(facts))


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    profile: tuple[Service, ...]


def profile_for(base_url: str | None, model: str) -> Profile:
    """The profile of a model by the address of its service; None is the OpenAI API."""
    host, port = _place(base_url or OPENAI_URL)
    for fits in (_names_host, _names_port):  # A name says more than a port.
        for service in services():
            if any(fits(entry, host, port) for entry in service.hosts):
                return service.profile(model)
    return GENERAL_PROFILE


@cache
def services() -> tuple[Service, ...]:
    """All services that have a profile."""
    text = (files("trading_graph.graph.chat") / "profiles.toml").read_text("utf-8")
    return read_services(text, "profiles.toml")


def read_services(text: str, origin: str) -> tuple[Service, ...]:
    """Services from TOML text; `origin` names it in errors; raises ProfileFileError."""
    try:
        return msgspec.toml.decode(text, type=_File).profile
    except msgspec.DecodeError as error:
        raise ProfileFileError(f"{origin} cannot be used: {error}.") from error


def _place(base_url: str) -> tuple[str, int | None]:
    """Host and port of an address; no host where it cannot be read."""
    try:
        parts = urlsplit(base_url if "://" in base_url else f"//{base_url}")
        return (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "", None


def _names_host(entry: str, host: str, port: int | None) -> bool:
    return ":" not in entry and (host == entry or host.endswith(f".{entry}"))


def _names_port(entry: str, host: str, port: int | None) -> bool:
    name, colon, number = entry.rpartition(":")
    return bool(colon and host) and number == str(port) and (not name or _is_this_machine(host))


def _is_this_machine(host: str) -> bool:
    if host in ("localhost", "host.docker.internal"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
