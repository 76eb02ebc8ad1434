"""The run in every form that is read, by the name of the form.

Each writer says where its form was seen: in the documentation or the source of what writes it.
"""

from tests.otel.sources.forms import jaeger_and_zipkin, llm_platforms, monitoring, opentelemetry

FORMS: dict[str, bytes] = {
    **opentelemetry.FORMS,
    **jaeger_and_zipkin.FORMS,
    **llm_platforms.FORMS,
    **monitoring.FORMS,
}
