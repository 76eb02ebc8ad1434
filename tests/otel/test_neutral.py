"""The judge knows nothing of the trading graph: it judges any program in the same way."""

import re
from pathlib import Path

OTEL = Path(__file__).parents[2] / "otel"
WORDS = re.compile(
    r"analyst|ticker|portfolio|\bsymbol|stock|debate|trading_graph\.log|\bgate\.toml", re.I
)
TEXTS = ("*.py", "*.html", "*.md", "*.css", "*.toml")


def test_no_file_of_it_names_what_is_traded_or_who_trades() -> None:
    files = [path for pattern in TEXTS for path in OTEL.rglob(pattern)]
    assert len(files) > 50
    hits = {
        str(path.relative_to(OTEL)): match.group()
        for path in files
        if (match := WORDS.search(path.read_text("utf-8")))
    }
    assert hits == {}
