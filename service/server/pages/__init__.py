"""The pages of the service: readable without script, in the look of the diagnosis."""
