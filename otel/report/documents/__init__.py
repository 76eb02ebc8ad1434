"""The JSON documents of verdicts, diagnoses and comparisons: their types and their schemas.

What prints a document encodes one of these types, and its JSON schema is made from the same type.
Each kind of document is imported from its own module: `verify` need not wait for the others.
"""
