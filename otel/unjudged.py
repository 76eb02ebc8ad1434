"""What assertions could not judge, and let stand: the pytest plugin tells it after the tests.

In a module of its own, because pytest loads the plugin in every project: it must be cheap.
"""

_sentences: list[str] = []


def note(sentence: str) -> None:
    """Keep a sentence for the test that is running."""
    _sentences.append(sentence)


def take() -> list[str]:
    """The sentences since the last call."""
    sentences = _sentences.copy()
    _sentences.clear()
    return sentences
