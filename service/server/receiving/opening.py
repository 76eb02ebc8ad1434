"""The receiver of a service, from its settings."""

import os
from pathlib import Path

from trading_graph.otel.redaction import Redactor
from trading_graph.service.server.judging import judging_environment
from trading_graph.service.server.receiving.growing_traces import Publish
from trading_graph.service.server.receiving.ledger import ReceiverLimits
from trading_graph.service.server.receiving.receiver import Receiver
from trading_graph.service.settings import Settings
from trading_graph.service.store import Store

_MIB = 2**20
_DAY_S = 86_400.0
_MOST_JUDGES = 2
"""On one core a second process would only take time to start."""


def make_receiver(
    settings: Settings, store: Store, out: Path, redactor: Redactor, publish: Publish
) -> Receiver:
    """Make the receiver with the limits of the settings; it publishes what changes."""
    limits = ReceiverLimits(
        settle_s=settings.serve_settle_s,
        keep_s=settings.serve_keep_days * _DAY_S,
        kept=settings.serve_received_mib * _MIB,
        traces=settings.serve_received_traces,
        trace=settings.serve_upload_mib * _MIB,
        judges=min(_MOST_JUDGES, len(os.sched_getaffinity(0))),
    )
    environment = judging_environment(settings.jaeger_url)
    return Receiver(
        store,
        out,
        redactor,
        limits,
        environment,
        publish=publish,
        forward_url=settings.serve_forward_url,
    )
