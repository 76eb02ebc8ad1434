"""Portfolios on many machines: DBOS keeps the line of ticker-days, workers take from it."""
