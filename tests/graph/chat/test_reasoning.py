"""Thoughts are taken out of a text, wherever their tags stand or are missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_graph.graph.chat.text_markup import without_thoughts


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("<think>no</think>Yes", "Yes"),
        ("<think>no <think>no</think>Yes", "Yes"),
        ("a<think>b</think>c", "ac"),
        ("no\n</think>\n\nYes", "Yes"),
        ("no <think>no</think> no</think>Yes", "Yes"),
        ("<thinking>\na\n</thinking>Yes <think>b</think>and no", "Yes and no"),
        ('<Reasoning effort="high">no</REASONING>Yes', "Yes"),
        ("<think>never ends", ""),
        ("Yes<THINKING>never ends", "Yes"),
        ("a < b and <thin> and <thinker>", "a < b and <thin> and <thinker>"),
        ("plain\n", "plain\n"),
    ],
)
def test_thoughts_are_taken_out_of_a_text(written: str, left: str) -> None:
    assert without_thoughts(written) == left


@given(st.lists(st.sampled_from(["<think>", "</think>", "secret", "<b>", "\n"]), max_size=12))
def test_nothing_between_two_tags_is_left(pieces: list[str]) -> None:
    text = "".join(["<think>", *pieces, "</think>", "said"])
    assert without_thoughts(text) == "said" or "</think>" in pieces
    assert "think>" not in without_thoughts(text)
