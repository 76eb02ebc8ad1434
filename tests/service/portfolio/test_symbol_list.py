"""What a list of symbols may look like, and what is said of one that cannot be used."""

from pathlib import Path

import pytest

from trading_graph.service.errors import BadListError
from trading_graph.service.portfolio.symbol_list import read_symbols


def listed(path: Path, content: str | bytes) -> tuple[str, ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_symbols([str(path)]).symbols


@pytest.mark.parametrize(
    "content",
    [
        "AAPL\nbrk.b\n^GSPC\n",
        "# tonight\r\nAAPL  # the first\r\n\r\n  BRK-B\r\nSPX\r\n",
        "﻿AAPL\nBRK.B\n^GSPC",
        'Symbol,Name,Weight\nAAPL,Apple,3\nBRK-B,"Berkshire, B",2\n^GSPC,Index,0\n',
        'Ticker;Name\nAAPL;Apple\nBRK-B;Berkshire\n"^GSPC";Index\n',
        "AAPL\tApple\nBRK-B\tBerkshire\n^GSPC\tIndex\n",
    ],
)
def test_a_list_is_a_symbol_a_line_or_the_first_column_of_a_csv_file(
    workdir: Path, content: str
) -> None:
    assert listed(workdir / "evening.csv", content) == ("AAPL", "BRK-B", "^GSPC")


def test_files_and_symbols_may_be_mixed_and_each_counts_once(workdir: Path) -> None:
    (workdir / "tech.txt").write_text("NVDA\nAAPL\nnvda\n")
    symbols = read_symbols(["AAPL", "tech.txt", "WMT"])
    assert symbols.symbols == ("AAPL", "NVDA", "WMT")
    assert symbols.duplicates == ("AAPL", "NVDA")
    assert symbols.name == "tech"


def test_what_is_no_symbol_is_named_and_the_rest_stays(workdir: Path) -> None:
    (workdir / "list.txt").write_text("AAPL\nnot a symbol\nUS0378331005\nNVDA\n")
    symbols = read_symbols(["list.txt"])
    assert symbols.symbols == ("AAPL", "NVDA")
    assert [each.text for each in symbols.refused] == ["not a symbol", "US0378331005"]
    assert "is an ISIN" in symbols.refused[1].reason


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["empty.txt"], "lists no symbols"),
        (["comments.txt"], "lists no symbols"),
        (["missing.txt"], "There is no file missing.txt"),
        (["lists/missing"], "There is no file lists/missing"),
        (["folder"], "folder is a folder"),
        (["binary.txt"], "no text in UTF-8"),
        (["???"], "No symbol is left"),
    ],
)
def test_a_list_that_names_nothing_is_one_sentence(
    workdir: Path, words: list[str], says: str
) -> None:
    (workdir / "empty.txt").touch()
    (workdir / "comments.txt").write_text("# nothing\n\n")
    (workdir / "binary.txt").write_bytes(b"\xff\xfe\x00A")
    (workdir / "folder").mkdir()
    with pytest.raises(BadListError, match=says) as refused:
        read_symbols(words)
    assert "\n" not in str(refused.value)


def test_a_long_list_has_a_short_name() -> None:
    symbols = read_symbols([f"SYMBOL{number}" for number in range(50)])
    assert len(symbols.symbols) == 50
    assert symbols.name.startswith("SYMBOL0,SYMBOL1")
    assert symbols.name.endswith(",...")
    assert len(symbols.name) < 70
