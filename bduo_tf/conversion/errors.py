"""The one exception of this folder."""

__all__ = ["ConversionError", "first_line"]


class ConversionError(Exception):
    """The input cannot be converted as asked; the message is one line that says what to do."""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, the name of its class where it has none."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
