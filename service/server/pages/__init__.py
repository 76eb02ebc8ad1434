"""The pages of the service: made here, readable without script, in the look of the diagnosis."""
