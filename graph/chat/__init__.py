"""The language models: what services accept, and how conversations and answers travel."""
