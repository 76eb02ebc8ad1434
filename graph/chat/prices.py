"""What a model's tokens cost: dated prices of well-known models, each with the page it is from.

A price that is not known is None, and so is every cost that it would be a part of. This module is
light: the settings import it.
"""

import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

_DATA = "prices.toml"
_OPENAI = "api.openai.com"
_SNAPSHOT = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})", re.ASCII)
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; cached and cache-written input default to the input's price.

    The prices hold for prompts of up to `prompt_limit` tokens. `date` and `page` say where they are
    from, and are None for those of the settings.
    """

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    prompt_limit: int | None = None
    date: datetime.date | None = None
    page: str | None = None
    note: str = ""

    def cost(
        self, input_tokens: int, output_tokens: int, cached: int = 0, written: int = 0
    ) -> float | None:
        """US dollars for these tokens; None where the prompt may be too long for these prices."""
        if self.prompt_limit is not None and input_tokens > self.prompt_limit:
            return None
        cached = min(cached, input_tokens)
        written = min(written, input_tokens - cached)
        dollars = (
            (input_tokens - cached - written) * self.input
            + cached * (self.input if self.cached is None else self.cached)
            + written * (self.input if self.cache_write is None else self.cache_write)
            + output_tokens * self.output
        )
        return dollars / _MILLION


def shipped_price(base_url: str | None, model: str) -> Price | None:
    """The price of a model at the service's own address; a dated snapshot costs what it is one of.

    None stands for OpenAI's address.
    """
    host = (urlsplit(base_url).hostname or "") if base_url else _OPENAI
    models = _prices().get(host, {})
    snapshot = _SNAPSHOT.search(model)
    name = model[: snapshot.start()] if snapshot and snapshot.end() == len(model) else model
    return models.get(model) or models.get(name)


@cache
def _prices() -> Mapping[str, Mapping[str, Price]]:
    """The prices by host and model."""
    data = tomllib.loads(files(__package__).joinpath(_DATA).read_text("utf-8"))
    prices: dict[str, dict[str, Price]] = {}
    for service in data["service"]:
        models = {
            each["id"]: Price(**{key: value for key, value in each.items() if key != "id"})
            for each in service["model"]
        }
        for host in service["hosts"]:
            prices[host] = models
    return prices
