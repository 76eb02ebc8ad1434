"""Has the few tests that failed beside others tried once more, alone, in a second pytest.

A pytest plugin for both rounds; `.ci/tests` starts them. The first round writes down which tests
failed, unless so many did that it is no chance. The second is given just these and runs them in one
process. It ends well only if every one of them passes: a test that is skipped by then did not. A
failure that is steady therefore still fails, and the first round's log keeps the text of each.
"""

from pathlib import Path

import pytest

MOST = 10
"""How many failed tests are tried again; where more fail, something is broken."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say which round this is; without either option the plugin does nothing."""
    group = parser.getgroup("second try")
    group.addoption(
        "--failed-to", metavar="FILE", type=Path, help="first round: write down what failed"
    )
    group.addoption(
        "--second-try", action="store_true", help="second round: all that is named must pass"
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Take part in the round that the options name; a process of xdist reports to the first."""
    if hasattr(config, "workerinput"):
        return
    if config.option.failed_to:
        config.pluginmanager.register(FirstRound(config.option.failed_to))
    if config.option.second_try:
        config.pluginmanager.register(SecondRound(config.args))


class FirstRound:
    """Writes down which tests failed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._failed: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that failed in any of its phases."""
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write them down, if failed tests are all that went wrong."""
        chance = exitstatus == pytest.ExitCode.TESTS_FAILED and len(self._failed) <= MOST
        names = self._failed if chance else ()
        self._file.write_text("".join(f"{name}\n" for name in names))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why nothing is tried again."""
        if len(self._failed) > MOST:
            terminalreporter.section("second try")
            terminalreporter.line(f"none: more than {MOST} tests failed")


class SecondRound:
    """Holds that every test which is named passes."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a test ended: one whose fixtures fail at their end has passed and failed."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.passed and report.when == "call":
            self._passed.add(report.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Fail also where a test neither passed nor failed."""
        if exitstatus == pytest.ExitCode.OK and len(self._good()) < len(self._names):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List what passed and what did not."""
        good = self._good()
        for title, names in (
            ("failed beside others, passed alone", good),
            ("failed beside others, did not pass alone", set(self._names) - good),
        ):
            if names:
                terminalreporter.section(title)
                for name in self._names:
                    if name in names:
                        terminalreporter.line(name)

    def _good(self) -> set[str]:
        return self._passed - self._failed
