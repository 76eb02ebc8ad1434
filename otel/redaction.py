"""Secrets are taken out of everything that leaves the process or is written down.

Two ways find them: by value, where the process knows its secrets (its settings, and environment
variables whose names say so), and by look: keys of known makes, bearer tokens, the user and the
query of a URL, `password=...` in a text. What looks like none and is not known is not found.
"""

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from opentelemetry.util.re import parse_env_headers

REDACTED = "[redacted]"

_OFTEN = 64
_SHORTEST = 6
"""Shorter values are words: taking them out would spoil texts and betray the secret's length."""

_NAMES = r"api[-_]?key|apikey|access[-_]?key|token|secret|passw(?:or)?d|credentials?|signature"
_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-api-key"
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|COOKIE", re.IGNORECASE)
_HEADER_VARIABLE = re.compile(r"OTEL_EXPORTER_OTLP_(\w+_)?HEADERS")
_SECRET_NAME = re.compile(rf"(?:^|[._-])(?:{_NAMES}|{_HEADERS})$", re.IGNORECASE)

_LOOKS = re.compile(
    rf"""
    (?P<user>(?<=://)[^\s/@"'<>]+(?=@))                     # user:password@ of a URL
  | (?P<query>(?<=\?)(?<=[\w/=.\]:]\?)[\w.%~+-]+=[^\s"'<>)]*)   # ?a=b of a URL
  | \b(?:bearer|basic)\s+(?P<scheme>[\w.~+/=-]{{6,}})
  | (?<![\w-])(?:{_HEADERS})["']?\s*[:=]\s*["']?(?P<header>[^"'\r\n]+)
  | (?<![a-z])(?:{_NAMES})["']?\s*[:=]\s*["']?(?P<named>[^\s"'&,;)}}]{{4,}})
  | (?P<make>
        \b(?:sk|pk|rk)-[\w-]{{12,}}
      | \blsv2_\w{{12,}} | \bls__\w{{12,}}
      | \bAKIA[0-9A-Z]{{16}}\b
      | \bgh[pousr]_\w{{20,}} | \bgithub_pat_\w{{20,}}
      | \bxox[abprs]-[\w-]{{10,}}
      | \bAIza[\w-]{{30,}}
      | \beyJ[\w-]+\.[\w-]+\.[\w-]+                          # JSON web token
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Redactor:
    """Takes secrets out of texts; the same for everything a process sends or writes."""

    def __init__(self, secrets: Iterable[str] = (), *, environment: Mapping[str, str]) -> None:
        known = {*secrets, *_of_environment(environment)}
        longest_first = sorted((each for each in known if len(each) >= _SHORTEST), key=len)[::-1]
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._cached = lru_cache(maxsize=2**12)(self._redacted)

    def text(self, text: str) -> str:
        """The text without secrets."""
        # Names and short values come again and again.
        return self._cached(text) if len(text) <= _OFTEN else self._redacted(text)

    def _redacted(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(REDACTED, text)
        return _LOOKS.sub(_without, text)

    def document(self, value: Any) -> Any:
        """A JSON document without secrets in its strings."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.document(each) for each in value]
        if isinstance(value, dict):
            return {key: self.document(each) for key, each in value.items()}
        return value

    def named(self, name: str, text: str) -> str:
        """The text of an attribute or a header, all of which is secret by some names."""
        return REDACTED if _is_secret(name) else self.text(text)


@lru_cache(maxsize=2**10)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _without(found: re.Match[str]) -> str:
    secret = found.lastgroup or ""
    begin, end = found.span(secret)
    whole = found.start()
    return found[0][: begin - whole] + REDACTED + found[0][end - whole :]


def _of_environment(environment: Mapping[str, str]) -> Iterable[str]:
    for name, value in environment.items():
        if _HEADER_VARIABLE.fullmatch(name):
            yield from parse_env_headers(value, liberal=True).values()
        elif _SECRET_VARIABLE.search(name):
            yield value


def process_redactor(secrets: Iterable[str] = ()) -> Redactor:
    """A redactor that knows the secrets of this process's environment, and those given."""
    return Redactor(secrets, environment=os.environ)
