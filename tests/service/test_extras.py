"""What an extra needs is read from the metadata of the installed distribution."""

from pathlib import Path

import pytest

from trading_graph.service.extras import (
    MissingExtraError,
    missing_distributions,
    require_extra,
)

METADATA = """Metadata-Version: 2.4
Name: trading-graph
Version: 9
Requires-Dist: no-such-base>=1
Requires-Dist: Click<9,>=8; extra == 'run'
Requires-Dist: no_such.engine[fast]>=2,<3; extra == "run"
Requires-Dist: trading-graph[langsmith, all]; extra == 'run'
Requires-Dist: no-such-elsewhere; (sys_platform == 'win32') and extra == 'run'
Requires-Dist: no-such-client; extra == 'langsmith'
Requires-Dist: trading_graph[run]; extra == 'all'
Requires-Dist: no-such-page; extra == 'serve'
"""


@pytest.fixture
def metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another trading-graph, found before the installed one."""
    folder = tmp_path / "trading_graph-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("metadata")
@pytest.mark.parametrize(
    ("extra", "missing"),
    [
        ("langsmith", ("no-such-client",)),
        ("run", ("no-such-client", "no_such.engine")),
        ("all", ("no-such-client", "no_such.engine")),
        ("serve", ("no-such-page",)),
        ("nobody", ()),
    ],
)
def test_an_extra_is_what_it_names_and_what_its_extras_name(
    extra: str, missing: tuple[str, ...]
) -> None:
    assert missing_distributions(extra) == missing


@pytest.mark.usefixtures("metadata")
def test_the_sentence_says_what_to_type() -> None:
    with pytest.raises(MissingExtraError) as raised:
        require_extra("trading-graph serve", "serve")
    assert raised.value.exit_code == 2
    assert raised.value.message == (
        "trading-graph serve needs the extra [serve] (missing: no-such-page): "
        "pip install 'trading-graph[serve]'"
    )


def test_where_everything_is_installed_nothing_is_missing() -> None:
    assert missing_distributions("all") == ()
    require_extra("trading-graph run", "run")
