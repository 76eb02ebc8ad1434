"""The embedded data set: four CSV tables, and `tables`, which reads them; see SOURCES.md."""
