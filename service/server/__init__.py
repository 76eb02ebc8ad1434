"""The HTTP service: an API and pages to start, follow and judge runs."""
