"""Whether LangSmith records a run tree of its own beside our spans.

Its client can also make OpenTelemetry spans. Those would stand among ours as a second copy of the
run, with prompts and completions on them, and go where ours go; so that is refused.
"""

from langsmith.utils import get_env_var, is_env_var_truish, tracing_is_enabled

from service.errors import BadSettings

_NATIVE = "langsmith"


def langsmith_beside(*, offline: bool) -> bool:
    """Whether the LANGSMITH_* variables switch its run tree on; raises BadSettings."""
    if offline or not tracing_is_enabled():
        return False
    for variable, asked in _other_modes().items():
        raise BadSettings(
            f"{variable}={asked} would send prompts and a second copy of every run to Jaeger, "
            f"among the spans that are judged; unset it, or set LANGSMITH_TRACING=false."
        )
    return True


def _other_modes() -> dict[str, str]:
    """The variables that ask for a mode other than its own run tree; the new one outranks."""
    mode = get_env_var("TRACING_MODE")
    if mode is not None:
        return {} if mode.lower() == _NATIVE else {"LANGSMITH_TRACING_MODE": mode}
    return {
        f"LANGSMITH_{name}": "true"
        for name in ("OTEL_ONLY", "OTEL_ENABLED")
        if is_env_var_truish(name)
    }
