"""The witness: records on every span what its times cannot show; see docs/witness.md.

`install()` makes any program's trace provable, whoever opens the spans: it adds the lag of the
event loop, CPU time, waits and what each span's time was spent on.
"""

from trading_graph.otel.witness.install import install, is_installed, recording, uninstall
from trading_graph.otel.witness.spans import declarations
from trading_graph.otel.witness.waits import waiting

__all__ = ["declarations", "install", "is_installed", "recording", "uninstall", "waiting"]
