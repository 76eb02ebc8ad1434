"""The templates of reports: documents that a designer can edit.

Text and attributes are escaped wherever a template writes them, so what a trace says cannot become
markup; in Markdown the filter `plain` does that. A name that a view does not have is an error,
never an empty text.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined

from trading_graph.otel.report.charts import percent
from trading_graph.otel.report.durations import between, brief, share
from trading_graph.otel.report.tables import plain, shorten

PACKAGE = "trading_graph.otel.report"
FILTERS: Mapping[str, Callable[..., str]] = {
    "between": between,
    "brief": brief,
    "percent": percent,
    "plain": plain,
    "share": share,
    "shorten": shorten,
}


def environment(loader: BaseLoader) -> Environment:
    """An environment with the rules and filters of all templates of the project.

    Templates are compiled once a process: a change shows at the next start.
    """
    templates = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters.update(FILTERS)
    return templates


ENVIRONMENT = environment(PackageLoader(PACKAGE))


def render(template: str, **view: Any) -> str:
    """A report from its template; it ends with a newline."""
    return ENVIRONMENT.get_template(template).render(view) + "\n"


def render_document(template: str, **view: Any) -> str:
    """A report as an HTML document that needs nothing but itself.

    Its content security policy allows its own style sheet, by hash, and nothing else: no script
    could run even if a name in a trace became markup.
    """
    style, digest = _style()
    return render(template, **view, style=style, style_digest=digest)


def style_sheet() -> str:
    """The style sheet of the reports."""
    return (files(PACKAGE) / "page.css").read_text("utf-8")


@cache
def _style() -> tuple[str, str]:
    style = style_sheet()
    return style, b64encode(sha256(style.encode()).digest()).decode()
