"""The libraries of which agent programs are made, and which distribution makes spans of them."""

AGENT_LIBRARIES = {
    "agents": "openinference-instrumentation-openai-agents",
    "agno": "openinference-instrumentation-agno",
    "anthropic": "openinference-instrumentation-anthropic",
    "autogen_agentchat": "openinference-instrumentation-autogen-agentchat",
    "crewai": "openinference-instrumentation-crewai",
    "dspy": "openinference-instrumentation-dspy",
    "google.adk": "openinference-instrumentation-google-adk",
    "google.genai": "openinference-instrumentation-google-genai",
    "haystack": "openinference-instrumentation-haystack",
    "langchain_core": "openinference-instrumentation-langchain",
    "litellm": "openinference-instrumentation-litellm",
    "llama_index": "openinference-instrumentation-llama-index",
    "mistralai": "openinference-instrumentation-mistralai",
    "openai": "openinference-instrumentation-openai",
    "pydantic_ai": "openinference-instrumentation-pydantic-ai",
    "smolagents": "openinference-instrumentation-smolagents",
}
"""Agents and models, by import name: the distribution of the instrumentor."""

OTHER_LIBRARIES = {
    "aiohttp": "opentelemetry-instrumentation-aiohttp-client",
    "asyncpg": "opentelemetry-instrumentation-asyncpg",
    "fastapi": "opentelemetry-instrumentation-fastapi",
    "httpx": "opentelemetry-instrumentation-httpx",
    "psycopg": "opentelemetry-instrumentation-psycopg",
    "redis": "opentelemetry-instrumentation-redis",
    "requests": "opentelemetry-instrumentation-requests",
    "sqlalchemy": "opentelemetry-instrumentation-sqlalchemy",
}
"""What they call, as above."""
