"""The embedded data set: four CSV tables of facts, and `tables`, which reads them."""
