"""What a run was asked to do and what it began on, kept in its folder from its start.

Whoever takes up a killed run finds its options here, and sees whether the same model and the same
data would serve: a report of one model judged by another is nobody's analysis. No secret is kept.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.options import Options
from trading_graph.service.choice import backend_choice
from trading_graph.service.errors import NotResumable
from trading_graph.service.langsmith_mode import LangSmithMode
from trading_graph.service.settings import Settings
from trading_graph.toolkit.records import Mode


class KeptModels(BaseModel):
    """The models that serve a run, and where."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None
    quick: str
    deep: str


class RunOrder(BaseModel):
    """One run's options and back ends; `models` is None for the offline model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    options: Options
    models: KeptModels | None
    data: Mode
    chat_latency_s: float
    fetch_latency_s: float
    cache: bool
    pool: bool
    langsmith: LangSmithMode

    @classmethod
    def of(cls, options: Options, choice: BackendChoice, langsmith: LangSmithMode) -> Self:
        """The order of a run that begins."""
        return cls(
            options=options,
            models=_models(choice),
            data=choice.data,
            chat_latency_s=choice.chat_latency_s,
            fetch_latency_s=choice.fetch_latency_s,
            cache=choice.cache,
            pool=choice.pool,
            langsmith=langsmith,
        )

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """An order that was kept; raises NotResumable."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise NotResumable(
                f"{origin} does not say what the run was asked to do: {error.error_count()} of its "
                "values cannot be used; start the analysis anew."
            ) from None

    def choice(self, settings: Settings) -> BackendChoice:
        """What would serve the run under these settings, with the latencies that it began with."""
        timed = settings.model_copy(
            update={
                "chat_latency_s": self.chat_latency_s,
                "fetch_latency_s": self.fetch_latency_s,
            }
        )
        return backend_choice(
            timed,
            offline=False,
            own_model=self.models is not None,
            data=self.data,
            cache=self.cache,
            pool=self.pool,
        )

    def check(self, choice: BackendChoice) -> None:
        """Raise NotResumable where another model or other data would serve than at the start."""
        now = _models(choice)
        if self.models == now and self.data == choice.data:
            return
        raise NotResumable(
            f"The run began with {_said(self.models)} and {self.data} data, and now {_said(now)} "
            f"and {choice.data} data would serve; set OPENAI_API_KEY, OPENAI_BASE_URL, "
            "TRADING_GRAPH_QUICK_MODEL, TRADING_GRAPH_DEEP_MODEL and TRADING_GRAPH_DATA as they "
            "were, or start the analysis anew."
        )


def _models(choice: BackendChoice) -> KeptModels | None:
    service = choice.model
    if service is None:
        return None
    return KeptModels(base_url=service.base_url, quick=service.quick, deep=service.deep)


def _said(models: KeptModels | None) -> str:
    if models is None:
        return "the offline model"
    where = f" at {models.base_url}" if models.base_url else ""
    return f"{models.quick} and {models.deep}{where}"
