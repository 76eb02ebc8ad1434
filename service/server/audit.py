"""Audit lines: who logged in, and who started or cancelled what, from where and when.

They go to the log under a logger of their own. A line names no token: `actor` is the first
characters of its digest, as in the setting that admits it.
"""

import logging
from enum import StrEnum

from aiohttp import web

from trading_graph.service.server.access import ACCESS

_LOG = logging.getLogger("trading_graph.audit")


class AuditAction(StrEnum):
    """What somebody did."""

    LOG_IN = "log in"
    REFUSED_LOG_IN = "refused log in"
    REFUSED_TOKEN = "refused token"
    LOG_OUT = "log out"
    START_RUN = "start run"
    CANCEL_RUN = "cancel run"
    START_PORTFOLIO = "start portfolio"
    CANCEL_PORTFOLIO = "cancel portfolio"


def write_audit_line(
    request: web.Request,
    action: AuditAction,
    subject: str | None = None,
    *,
    actor: str | None = None,
) -> None:
    """Write a line to the audit log; `subject` is the id of a run or a portfolio.

    The actor is whoever makes the request, unless another is given.
    """
    actor = actor or request.app[ACCESS].actor(request)
    client = request.remote or "unknown"
    about = f" {subject}" if subject else ""
    _LOG.info(
        "Audit: %s%s by %s from %s",
        action,
        about,
        actor,
        client,
        extra={
            "audit": {
                "action": str(action),
                "subject": subject,
                "client": client,
                "actor": actor,
            }
        },
    )
