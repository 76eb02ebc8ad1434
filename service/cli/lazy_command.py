"""A command of the command line whose module is imported when it is called.

So `--help` answers at once. A command whose extra is missing says so before anything is imported.
"""

import itertools
import sys
from collections.abc import Callable
from typing import Any

import click

from trading_graph.service.lazy_import import load


class LazyCommand(click.Command):
    """A command whose function is imported when it is called.

    `calls` is the function, as `module:attribute` of `trading_graph`: it takes the parameters by
    name and returns the exit code. `extra` is what has to be installed. `options` is a function
    that gives further options, and is imported for the command's help as well.
    """

    def __init__(
        self,
        *args: Any,
        calls: str,
        extra: str | None = None,
        options: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(*args, **settings)
        self._calls = calls
        self._extra = extra
        self._options = options

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The parameters, the further options first."""
        if self._options is not None:
            self.params[:0] = load(self._options)()
            self._options = None
        return super().get_params(ctx)

    def function(self) -> Callable[..., Any]:
        """The function of the command, imported."""
        function: Callable[..., Any] = load(self._calls)
        return function

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the words; where they ask for JSON, an error is printed as JSON too."""
        words = list(args)
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            if _words_ask_for_json(words):
                load("service.exit_codes:print_click_error")(error)
            raise

    def invoke(self, ctx: click.Context) -> None:
        """Import the function, call it, and exit with its code, or that of its failure."""
        try:
            if self._extra is not None:
                words = ctx.command_path.split()[1:]
                load("service.extras:require_extra")(
                    " ".join(("trading-graph", *words)), self._extra
                )
            code = ctx.invoke(self.function(), **ctx.params)
        except BaseException as error:
            # What nobody expects is raised again, and so is what click prints itself.
            code = load("service.exit_codes:report_failure")(error)
        sys.exit(code)


def _words_ask_for_json(words: list[str]) -> bool:
    """Whether words that could not be parsed ask for JSON."""
    pairs = itertools.pairwise(words)
    return not {"--json", "--format=json"}.isdisjoint(words) or ("--format", "json") in pairs


class SeveralWords(LazyCommand):
    """A command whose option --with takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give each of those words an option of its own, as click wants it."""
        spread: list[str] = []
        after = False
        for at, word in enumerate(args):
            if word == "--with":
                after = True
                if at + 1 < len(args):
                    continue
            elif word.startswith("-") and word != "-":
                after = False
            spread += ["--with", word] if after and word != "--with" else [word]
        return super().parse_args(ctx, spread)
