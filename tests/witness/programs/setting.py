"""What a program is told, and the witness, which the first lines of a program install.

Nothing heavy is imported here: what a program imports, it imports after the witness is there.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """The words of a program's command line."""

    pathology: str
    source: str
    model: str
    run: str
    span_file: Path | None
    instrumentor: str

    def install_witness(self) -> None:
        """Install the witness with its file; `trading-graph record` does it from outside."""
        if self.span_file is not None:
            import trading_graph.witness

            trading_graph.witness.install(span_file=self.span_file)


def told() -> Setting:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pathology")
    parser.add_argument("--source", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--span-file", type=Path)
    parser.add_argument("--instrumentor", default="own")
    return Setting(**vars(parser.parse_args()))
