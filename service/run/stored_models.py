"""The models that serve a run or a portfolio, as its order stores them: without a secret."""

from pydantic import BaseModel, ConfigDict

from trading_graph.graph.backend_choice import BackendChoice


class StoredModels(BaseModel):
    """The models of a run, and the address of their service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None
    quick: str
    deep: str


def models_of(choice: BackendChoice) -> StoredModels | None:
    """The models of a choice of back ends; None for the offline model."""
    service = choice.model
    if service is None:
        return None
    return StoredModels(base_url=service.base_url, quick=service.quick, deep=service.deep)


def describe(models: StoredModels | None) -> str:
    """The models in a sentence."""
    if models is None:
        return "the offline model"
    where = f" at {models.base_url}" if models.base_url else ""
    return f"{models.quick} and {models.deep}{where}"
