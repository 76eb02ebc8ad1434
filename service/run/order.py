"""The order of a run: its request and the back ends that it begins with, stored in its folder.

Whoever resumes the run reads the request from it, and checks that the same model and the same data
would serve: a report of one model that another model judges is nobody's analysis. Only a failed run
may go on with another deep model, as long as no agent has decided with the first. An order holds no
secret; it says what somebody holds where the request does.
"""

from dataclasses import replace
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from trading_graph.graph.backend_choice import BackendChoice
from trading_graph.graph.state import Usage
from trading_graph.service.errors import NotResumableError
from trading_graph.service.langsmith import LangSmithMode
from trading_graph.service.run.request import RunRequest
from trading_graph.service.run.stored_models import StoredModels, describe, models_of
from trading_graph.service.settings import Settings, backend_choice
from trading_graph.toolkit.live_access import Mode

_CHOSEN = ("data", "chat_latency_s", "fetch_latency_s", "cache", "pool")
"""What an order has of the choice of back ends, under the same names."""


class RunOrder(BaseModel):
    """The request and the back ends of a run; `models` is None for the offline model.

    `spent` are calls of agents that had not ended when the run failed: they were paid for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = 2
    request: RunRequest
    models: StoredModels | None
    data: Mode
    chat_latency_s: float
    fetch_latency_s: float
    cache: bool
    pool: bool
    langsmith: LangSmithMode
    spent: tuple[Usage, ...] = ()

    @classmethod
    def of(cls, request: RunRequest, choice: BackendChoice, langsmith: LangSmithMode) -> Self:
        """The order of a run that begins."""
        chosen = {name: getattr(choice, name) for name in _CHOSEN}
        return cls(request=request, models=models_of(choice), langsmith=langsmith, **chosen)

    @property
    def offline(self) -> bool:
        """Whether LangSmith gets nothing of the run."""
        return self.langsmith is LangSmithMode.OFF

    @classmethod
    def parse(cls, text: str, origin: str) -> Self:
        """Read an order; raises NotResumableError."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise NotResumableError(
                f"{origin} does not say what the run was asked to do: {error.error_count()} of its "
                "values cannot be used; start the analysis anew."
            ) from None

    def choice(self, settings: Settings) -> BackendChoice:
        """The back ends that these settings give the run, with the latencies that it began with."""
        choice = backend_choice(
            settings, offline=False, own_model=self.models is not None, data=self.data
        )
        return replace(choice, **{name: getattr(self, name) for name in _CHOSEN})

    def resumed_with(self, choice: BackendChoice, *, undecided: bool) -> Self:
        """The order of the run as it is resumed; `undecided` where another model may decide.

        Raises NotResumableError for another model or other data than at the start.
        """
        now = models_of(choice)
        if self.data == choice.data:
            if self.models == now:
                return self
            if undecided and self._differs_in_deep(now):
                return self.model_copy(update={"models": now})
        raise NotResumableError(
            f"The run began with {describe(self.models)} and {self.data} data, and now "
            f"{describe(now)} and {choice.data} data would serve; set OPENAI_API_KEY, "
            "OPENAI_BASE_URL, TRADING_GRAPH_QUICK_MODEL, TRADING_GRAPH_DEEP_MODEL and "
            "TRADING_GRAPH_DATA as they were, or start the analysis anew."
        )

    def _differs_in_deep(self, now: StoredModels | None) -> bool:
        """Whether the model that decides is all that is another one."""
        if self.models is None or now is None:
            return False
        return self.models.model_copy(update={"deep": now.deep}) == now
