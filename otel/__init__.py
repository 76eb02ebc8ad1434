"""Making, sending, reading and judging OpenTelemetry traces of agent graphs.

The package knows nothing of trading, LangGraph or LangChain: it imports OpenTelemetry and numpy
only.
"""
