"""On how many examples a property is tried: on all in the long part, on some in the quick part."""

QUICK_SHARE = 4
DEFAULT = 100
"""Where a test does not say how many."""

is_quick = False
"""Whether the quick part runs; `conftest.py` says so before any test is imported."""


def examples(most: int = DEFAULT) -> int:
    """Return so many, or the quick part's share of them."""
    return most // QUICK_SHARE if is_quick else most
