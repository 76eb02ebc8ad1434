"""The Model Context Protocol: what a coding agent may ask about traces; docs/mcp.md."""
