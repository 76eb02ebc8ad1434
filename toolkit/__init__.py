"""Market data: one pool, one cache, sources, indicators, and the tools that agents call."""
