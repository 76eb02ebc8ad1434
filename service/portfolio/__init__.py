"""Portfolios: many analyses of tickers and dates, their ranking and their back-test."""
