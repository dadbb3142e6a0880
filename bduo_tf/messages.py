"""What an error says, for the messages of one line that commands show."""

__all__ = ["first_line"]


def first_line(error: BaseException) -> str:
    """Returns the first line of an exception's message, or the name of its class where it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
