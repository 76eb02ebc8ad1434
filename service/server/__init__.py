"""The HTTP service: runs started, watched and judged over an API and a page."""
