"""Judging traces of LLM-agent programs; see docs/library.md."""
