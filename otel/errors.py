"""What can go wrong in making, sending and reading traces.

TraceError
"""


class TraceError(Exception):
    """A trace could not be written, sent or read."""
