"""The command line, the HTTP service, the settings, and what they share."""
