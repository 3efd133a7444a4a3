"""What can go wrong with the servers that we start ourselves."""


class EmbeddedServerError(Exception):
    """An embedded server can't be prepared, started or reached; the text says what to do."""
