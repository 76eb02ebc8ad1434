"""What can be wrong with how the program is set up.

BadSettings
"""


class BadSettings(Exception):
    """The environment or `.env` asks for something that cannot be; the message says what."""
