"""Redacts secrets in everything that leaves the process or is written to disk.

Secrets are recognised in two ways: by value, where the process knows them (its settings, and
environment variables with telling names), and by pattern: keys of well-known services, bearer
tokens, the user and the query of a URL, `password=...` in a text. An unknown secret that matches no
pattern is not recognised. `export.span_redaction` applies this to spans.
"""

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from opentelemetry.util.re import parse_env_headers

REDACTED = "[redacted]"

_CACHED_LENGTH = 64
_MIN_LENGTH = 6
"""A shorter value may be a common word: redacting it would spoil texts and give the value away."""

_NAMES = r"api[-_]?key|apikey|access[-_]?key|token|secret|passw(?:or)?d|credentials?|signature"
_HEADERS = r"(?:proxy-)?authorization|(?:set-)?cookie|x-api-key"
_SECRET_VARIABLE = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|COOKIE", re.IGNORECASE)
_HEADER_VARIABLE = re.compile(r"OTEL_EXPORTER_OTLP_(\w+_)?HEADERS")
_SECRET_NAME = re.compile(rf"(?:^|[._-])(?:{_NAMES}|{_HEADERS})$", re.IGNORECASE)

# The words that stand for a secret in our own advice, which says how to give one.
_SHOWN_USER = r"(?-i:USER:PASSWORD)"
_SHOWN_TOKEN = r"(?-i:TOKEN)(?![\w~+/=-]|\.\w)"
_SHOWN_HEADER = rf"\s*(?-i:Bearer)\s{_SHOWN_TOKEN}\.?\s*$"

_PATTERNS = re.compile(
    rf"""
    (?P<user>(?<=://)(?!{_SHOWN_USER}@)[^\s/@"'<>]+(?=@))   # user:password@ of a URL
  | (?P<query>(?<=\?)(?<=[\w/=.\]:]\?)[\w.%~+-]+=[^\s"'<>)]*)   # ?a=b of a URL
  | \b(?:bearer|basic)\s+(?!{_SHOWN_TOKEN})(?P<scheme>[\w.~+/=-]{{6,}})
  | (?<![\w-])(?:{_HEADERS})["']?\s*[:=](?!{_SHOWN_HEADER})\s*["']?(?P<header>[^"'\r\n]+)
  | (?<![a-z])(?:{_NAMES})["']?\s*[:=]\s*["']?(?P<assigned>[^\s"'&,;)}}]{{4,}})
  | (?P<key>
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
    """Redacts secrets in texts; one serves everything that a process sends or writes."""

    def __init__(self, secrets: Iterable[str] = (), *, environment: Mapping[str, str]) -> None:
        values = {*secrets, *_secrets_of(environment)}
        longest_first = sorted((each for each in values if len(each) >= _MIN_LENGTH), key=len)[::-1]
        alternatives = "|".join(map(re.escape, longest_first))
        self._values = re.compile(alternatives) if longest_first else None
        self._redact_cached = lru_cache(maxsize=2**12)(self._redact)

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        # Names and short values occur again and again.
        return self._redact_cached(text) if len(text) <= _CACHED_LENGTH else self._redact(text)

    def _redact(self, text: str) -> str:
        if self._values is not None:
            text = self._values.sub(REDACTED, text)
        return _PATTERNS.sub(_replace_secret, text)

    def document(self, value: Any) -> Any:
        """Return a JSON document without secrets in its strings."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.document(each) for each in value]
        if isinstance(value, dict):
            return {key: self.document(each) for key, each in value.items()}
        return value

    def attribute(self, name: str, text: str) -> str:
        """Return the text of an attribute or a header; some names make all of it a secret."""
        return REDACTED if _is_secret(name) else self.text(text)


@lru_cache(maxsize=2**10)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def _replace_secret(match: re.Match[str]) -> str:
    """Replace the named group that matched, and leave the rest of the match."""
    begin, end = match.span(match.lastgroup or "")
    offset = match.start()
    return match[0][: begin - offset] + REDACTED + match[0][end - offset :]


def _secrets_of(environment: Mapping[str, str]) -> Iterable[str]:
    for name, value in environment.items():
        if _HEADER_VARIABLE.fullmatch(name):
            yield from parse_env_headers(value, liberal=True).values()
        elif _SECRET_VARIABLE.search(name):
            yield value


def process_redactor(secrets: Iterable[str] = ()) -> Redactor:
    """Make a redactor that knows the secrets of this process's environment, and `secrets`."""
    return Redactor(secrets, environment=os.environ)
