"""The symbols of a portfolio: named one by one, or in files that list them.

A file has one symbol a line, or is a CSV file whose first column has them; `#` begins a comment.
What is no symbol is set aside with the reason, so that one bad line does not stop an evening.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trading_graph.service.errors import BadListError
from trading_graph.toolkit.errors import BadSymbolError
from trading_graph.toolkit.symbols import parse_symbol

_HEADS = frozenset({"symbol", "symbols", "ticker", "tickers"})
_SUFFIXES = frozenset({".txt", ".csv", ".tsv", ".list", ".lst"})
_NAME_LENGTH = 60


@dataclass(frozen=True, slots=True)
class RefusedSymbol:
    """A word of a list that is no ticker symbol, and the reason."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class SymbolList:
    """The symbols of a portfolio, each once and in the order in which they came.

    `name` is that of the file, or the first symbols; `duplicates` were named more than once.
    """

    name: str
    symbols: tuple[str, ...]
    refused: tuple[RefusedSymbol, ...]
    duplicates: tuple[str, ...]


def read_symbols(words: Sequence[str]) -> SymbolList:
    """Read the words of a command line, of which each is a file or a symbol.

    Raises BadListError where a file cannot be read, or where no symbol is left.
    """
    texts = [text for word in words for text in _texts(word)]
    files = [Path(word).stem for word in words if Path(word).is_file()]
    return _symbol_list(
        texts,
        ",".join(files),
        f"{', '.join(words)} lists no symbols: write one a line, or name them on the command line.",
    )


def parse_symbols(symbols: Sequence[str], list_text: str) -> SymbolList:
    """Symbols one by one, and those in the text of a list; nothing here names a file.

    Raises BadListError where no symbol is left.
    """
    return _symbol_list(
        [*symbols, *_first_column(list_text.splitlines())],
        "",
        "No symbols are named: give them one by one, or a list with one a line.",
    )


def _symbol_list(texts: Sequence[str], name: str, without_any: str) -> SymbolList:
    """Sort out the texts; a list without a name has that of its first symbols."""
    symbols: dict[str, None] = {}
    refused: dict[str, RefusedSymbol] = {}
    duplicates: dict[str, None] = {}
    for text in texts:
        try:
            symbol = parse_symbol(text)
        except BadSymbolError as error:
            refused.setdefault(text, RefusedSymbol(text, str(error)))
            continue
        if symbol in symbols:
            duplicates[symbol] = None
        symbols[symbol] = None
    if not symbols:
        if not refused:
            raise BadListError(without_any)
        first = next(iter(refused.values()))
        raise BadListError(f"No symbol is left to analyse: {first.reason}")
    name = name or ",".join(symbols)
    if len(name) > _NAME_LENGTH:
        name = f"{name[:_NAME_LENGTH].rpartition(',')[0] or name[:_NAME_LENGTH]},..."
    return SymbolList(name, tuple(symbols), tuple(refused.values()), tuple(duplicates))


def _texts(word: str) -> Iterator[str]:
    """What a word of the command line names: itself, or what a file lists."""
    path = Path(word)
    if path.is_file():
        return _lines(path)
    if path.is_dir():
        raise BadListError(f"{word} is a folder: name a file that lists symbols, or symbols.")
    if "/" in word or path.suffix.lower() in _SUFFIXES:
        raise BadListError(f"There is no file {word}: name a file that lists symbols, or symbols.")
    return iter([word])


def _lines(path: Path) -> Iterator[str]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadListError(
            f"{path} is no text in UTF-8: give a file with one symbol a line, or a CSV file."
        ) from None
    except OSError as error:
        raise BadListError(f"{path} cannot be read: {error.strerror or error}.") from None
    return _first_column(lines)


def _first_column(lines: Sequence[str]) -> Iterator[str]:
    is_first = True
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        delimiter = next((each for each in ",;\t" if each in text), ",")
        cell = next(csv.reader([text], delimiter=delimiter))[0].strip()
        # A column's title would pass for a symbol.
        if cell and not (is_first and cell.lower() in _HEADS):
            yield cell
        is_first = False
