"""The exception that the whole package `bduo_tf.data` raises."""

__all__ = ["DataError"]


class DataError(ValueError):
    """A data set is not there, or not of the kind that was asked for.

    Args:
        argument: the argument of `data.load` that is to blame, so that a command line can name its option for it.
        message: what is wrong and what to do about it, in one line.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument
