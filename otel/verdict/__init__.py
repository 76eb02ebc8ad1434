"""Judging a trace: is it whole, did its parts run at once, and does it keep its gate?"""
