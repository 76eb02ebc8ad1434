"""Names of spans and call paths as reports write them, where they are long."""


def shorten(text: str, most: int) -> str:
    """A text of at most `most` characters, without its middle where it is longer.

    The two ends of a call path say most about it.
    """
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return f"{line[: most // 2 - 1]}…{line[-(most - most // 2) :]}"
