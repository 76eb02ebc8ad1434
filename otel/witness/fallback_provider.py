"""Spans of a program that sets no tracer provider, or has not yet.

The witness never sets a provider: that can be done once, and the program's exporter would get
nothing. While none is set, the tracers of OpenTelemetry's API ask ours, which exports nothing; the
witness sees its spans as it sees all. Once the program sets its own, that one is asked.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_KEPT_AS = "_witness_tracer"


class FallbackProvider:
    """The provider of spans that nobody else takes; made when the first one starts."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None

    def tracer(self, *scope: Any) -> Tracer:
        """A tracer, for the name, version, schema and attributes of an instrumentation scope."""
        if self._provider is None:
            # Not above: a program that makes no span must not load the SDK.
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.sampling import ALWAYS_ON

            self._provider = TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
        return self._provider.get_tracer(*scope)

    def serve(self, api: ModuleType) -> None:
        """Serve the tracers of `opentelemetry.trace` while no provider is set."""
        proxy: Any = api.ProxyTracer
        original = proxy._tracer.fget
        no_op: type = api.NoOpTracer

        def tracer(self_: Any) -> Any:
            usual = original(self_)
            if type(usual) is not no_op or _is_disabled():
                return usual
            ours = self_.__dict__.get(_KEPT_AS)
            if ours is None:
                try:
                    ours = self.tracer(
                        self_._instrumenting_module_name,
                        self_._instrumenting_library_version,
                        self_._schema_url,
                        self_._attributes,
                    )
                except Exception:
                    return usual  # As without the witness, while the SDK is being imported.
                self_.__dict__[_KEPT_AS] = ours
            return ours

        proxy._tracer = property(tracer)


def _is_disabled() -> bool:
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
