"""The errors of an analysis.

Every message is one sentence that ends with what to do next.

    AnalysisError                      anything below
    ├── ModelError                     the language model did not do its part
    │   ├── ModelRefusalError          it refuses us: wrong key, no such model, bad request
    │   │   └── QuotaError             quota or balance are used up
    │   ├── ModelUnavailableError      it did not answer, even after retries
    │   │   └── RateLimitError         it would answer only when the budget is over
    │   └── BadModelAnswerError        its answer cannot be used
    │       └── CutAnswerError         it was cut off, and would be again
    ├── NoEvidenceError                no analyst could report, so there is nothing to decide on
    ├── RunFailedError                 a run failed, can be resumed, and says with which command
    ├── CheckpointError                the run's checkpoints cannot be written or read
    └── BudgetReachedError             the run's budget does not allow the call
        └── OutOfTimeError             the run's seconds ended in the middle of a call

    BadHoldingsError                   holdings or cash that cannot be (usage)

`FATAL` errors end the run. Any other error of an agent only degrades the result: where a deciding
agent brings no usable answer, a rule without a model stands in for it.
"""

from trading_graph.toolkit.errors import BadRequestError


class AnalysisError(Exception):
    """An analysis could not be made."""


class ModelError(AnalysisError):
    """The language model did not do its part."""


class ModelRefusalError(ModelError):
    """The model's service refuses the request, and would refuse it again."""


class ModelUnavailableError(ModelError):
    """The model's service did not answer, even after all retries."""


class QuotaError(ModelRefusalError):
    """The account's quota or balance at the service is used up, so waiting does not help."""


class RateLimitError(ModelUnavailableError):
    """The model may be asked again only when the budget is over."""


class BadModelAnswerError(ModelError):
    """The model's answer cannot be used."""


class CutAnswerError(BadModelAnswerError):
    """The model's answer was cut off where the next one would be too, so it is not asked again."""


class BadProxyError(BadRequestError):
    """The environment names a proxy through which the model cannot be reached."""


class BadHoldingsError(BadRequestError):
    """Holdings or cash are given in a form that cannot be."""


class BadLanguageError(BadRequestError):
    """The text names no language that a model could be asked to write in."""


class NoEvidenceError(AnalysisError):
    """No analyst could report."""


class RunFailedError(AnalysisError):
    """A run failed after an agent had brought something: it is kept, and the run can be resumed."""


class CheckpointError(AnalysisError):
    """The run's checkpoints cannot be written or read."""


class BudgetReachedError(AnalysisError):
    """The run has spent one of its budgets."""


class OutOfTimeError(BudgetReachedError, TimeoutError):
    """The run's seconds ended in the middle of a call; its span shows a timeout too."""


FATAL: tuple[type[Exception], ...] = (ModelRefusalError, BadRequestError, NoEvidenceError)
