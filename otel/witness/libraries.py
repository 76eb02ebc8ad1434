"""The libraries of which agent programs are made, and which distribution makes spans of them."""

LIBRARIES = {
    "agents": "openinference-instrumentation-openai-agents",
    "agno": "openinference-instrumentation-agno",
    "aiohttp": "opentelemetry-instrumentation-aiohttp-client",
    "anthropic": "openinference-instrumentation-anthropic",
    "asyncpg": "opentelemetry-instrumentation-asyncpg",
    "autogen_agentchat": "openinference-instrumentation-autogen-agentchat",
    "crewai": "openinference-instrumentation-crewai",
    "dspy": "openinference-instrumentation-dspy",
    "fastapi": "opentelemetry-instrumentation-fastapi",
    "google.adk": "openinference-instrumentation-google-adk",
    "google.genai": "openinference-instrumentation-google-genai",
    "haystack": "openinference-instrumentation-haystack",
    "httpx": "opentelemetry-instrumentation-httpx",
    "langchain_core": "openinference-instrumentation-langchain",
    "litellm": "openinference-instrumentation-litellm",
    "llama_index": "openinference-instrumentation-llama-index",
    "mistralai": "openinference-instrumentation-mistralai",
    "openai": "openinference-instrumentation-openai",
    "pydantic_ai": "openinference-instrumentation-pydantic-ai",
    "requests": "opentelemetry-instrumentation-requests",
    "smolagents": "openinference-instrumentation-smolagents",
}
"""By import name: the distribution of the instrumentor."""
