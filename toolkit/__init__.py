"""Market data: one pool, one cache, sources, indicators, and the tools that agents call.

- `market_data`: where analysts and tools ask
- `sources`, `live_access`: a module for each source; addresses and keys
- `as_of`, `as_of_filter`: the day of an analysis; nothing from later passes
- `cache`, `single_flight`, `ttl`: what is cached, what is shared, and for how long
- `cache_use`, `stored_cache`, `stored_values`: what the cache did, and its file
- `pool`, `http_spans`, `http_retries`: HTTP requests, their spans, what a failure means, retries
- `rate_limits`, `circuit_breaker`: the rules of each host
- `records`, `bars`, `statements`, `ratios`, `indicators`: data, and what is computed from it
- `bar_checks`, `unit_jumps`: bars that cannot be right
- `listings`, `reporting_deadlines`, `sessions`: what a symbol is, and when things were known
- `dataset`, `embedded_server`, `loopback`: the embedded data and its server
- `tools`: what a model may call
"""
