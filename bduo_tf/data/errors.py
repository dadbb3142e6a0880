"""The one exception of this folder."""

__all__ = ["DataError"]


class DataError(ValueError):
    """A data set cannot be had as asked.

    Args:
        argument: the argument of `data.load` that is to blame, so that a command line can name its option.
        message: what is wrong and what to do about it, one line.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument
