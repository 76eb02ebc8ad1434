"""Makes, sends, reads and judges OpenTelemetry traces of agent graphs.

The package knows nothing of trading, LangGraph or LangChain.
"""
