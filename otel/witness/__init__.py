"""Measures what the times of spans cannot show: blocked loops, waits, and who had the CPU."""
