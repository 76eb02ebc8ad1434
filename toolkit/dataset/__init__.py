"""The embedded data set: four CSV tables, and `tables`, which reads them; see SOURCES.md."""

LAST_DAY = "2025-11-14"
"""The newest day that the tables know; it is analysed where no day is named."""
