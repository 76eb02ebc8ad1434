"""What a page is made of, and whether what others wrote has become part of it."""

from html.parser import HTMLParser

EVIL = '<script>alert(1)</script><img src=x onerror="alert(1)">'


class Tags(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_inert(text: str) -> None:
    """Nothing of what was put in has become an element or an attribute."""
    for tag, attributes in Tags(text).found:
        assert tag not in ("script", "img", "iframe"), tag
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    assert "alert(1)" in text, "it is shown as the text that it is"
