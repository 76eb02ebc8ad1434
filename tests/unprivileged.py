"""Commands without root's right to write and read everything, for tests that run as root."""

import os
import shutil

import pytest

_RIGHTS = "-dac_override,-dac_read_search,-fowner,-chown,-setuid,-setgid"


def unprivileged(*command: str) -> list[str]:
    """The command as one for which a file's mode counts; skips where that cannot be had."""
    if os.getuid() != 0:
        return [*command]
    if not shutil.which("setpriv"):
        pytest.skip("root may write everything, and there is no setpriv to give that up")
    return ["setpriv", f"--bounding-set={_RIGHTS}", f"--inh-caps={_RIGHTS}", *command]
