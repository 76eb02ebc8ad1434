"""The command line, the settings, and the places where runs are kept."""
