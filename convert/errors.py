"""The one exception of this folder."""

__all__ = ["ConversionError"]


class ConversionError(Exception):
    """The input cannot be converted as asked; the message is one line that says what to do."""
