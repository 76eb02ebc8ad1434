"""Templates: everything that they write is escaped, and what a view lacks is an error."""

import re
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError

from trading_graph.otel.report import html
from trading_graph.service.server.pages import layout

ENVIRONMENTS = [html.ENVIRONMENT, layout.ENVIRONMENT]
FOLDERS = [Path(str(module.__file__)).parent / "templates" for module in (html, layout)]
UNESCAPED = {
    "document.html": ["style"],  # ours
    "run.html": ["report.html"],  # Markdown of models, made inert
}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_template_writes_is_escaped(environment: Environment) -> None:
    text = environment.from_string("<p title='{{ it }}'>{{ it }}</p>").render(it="<b>'\"&")
    assert text == "<p title='&lt;b&gt;&#39;&#34;&amp;'>&lt;b&gt;&#39;&#34;&amp;</p>"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_a_view_lacks_is_an_error(environment: Environment) -> None:
    with pytest.raises(UndefinedError):
        environment.from_string("{{ missing }}").render()


def test_only_what_is_known_to_be_harmless_is_not_escaped() -> None:
    templates = [each for folder in FOLDERS for each in folder.glob("*.html")]
    assert len(templates) > 10
    for template in templates:
        marks = re.findall(r"\{\{ ([^}]*?)\|safe \}\}", template.read_text())
        assert marks == UNESCAPED.get(template.name, []), template.name
        assert "autoescape" not in template.read_text()


def test_templates_have_no_style_and_no_handler_of_their_own() -> None:
    for template in (each for folder in FOLDERS for each in folder.glob("*.html")):
        text = template.read_text()
        assert not re.search(r"<[^>]*\s(style|on\w+)=", text), template.name
        assert template.name == "document.html" or "<style" not in text
