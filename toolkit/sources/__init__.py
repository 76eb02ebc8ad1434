"""Sources of market data: one adapter each, from a request to immutable rows or bars."""
