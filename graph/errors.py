"""What can go wrong with an analysis.

Every message is one sentence that ends with what to do next.

    AnalysisError                 anything below
    ├── ModelError                the language model did not do its part
    │   ├── ModelRefused          it refuses to serve us: wrong key, no such model, bad request
    │   ├── ModelUnavailable      it did not answer, after retries
    │   └── BadModelAnswer        it answered, and the answer cannot be used
    ├── NoEvidence                no analyst could report, so there is nothing to decide on
    ├── NoDecision                an agent that decides did not within its time budget
    ├── NotKept                   what the run's agents bring cannot be kept, or not be found again
    └── BudgetReached             the run may not make a call that is wanted
        └── OutOfTime             its seconds were over while something was under way

`FATAL` errors end the run; any other error of an analyst, a debater or a risk analyst degrades it.
`BudgetReached` ends no run: without a model the deciders decide by a rule.
"""

from trading_graph.toolkit.errors import BadRequestError


class AnalysisError(Exception):
    """An analysis could not be made."""


class ModelError(AnalysisError):
    """The language model did not do its part."""


class ModelRefused(ModelError):
    """The model's service refuses the request, and would refuse it again."""


class ModelUnavailable(ModelError):
    """The model's service did not answer, after all retries."""


class BadModelAnswer(ModelError):
    """The model answered something that cannot be used."""


class BadProxy(BadRequestError):
    """The environment names a proxy through which the model cannot be asked."""


class NoEvidence(AnalysisError):
    """Not one analyst could report."""


class NoDecision(AnalysisError):
    """An agent whose decision is needed did not come to it within its time budget."""


class NotKept(AnalysisError):
    """The run's checkpoints cannot be written or read."""


class BudgetReached(AnalysisError):
    """The run has spent one of its budgets."""


class OutOfTime(BudgetReached, TimeoutError):
    """The run's seconds were over in the middle of a call; a timeout, also to its span."""


FATAL: tuple[type[Exception], ...] = (ModelRefused, BadRequestError, NoEvidence)
