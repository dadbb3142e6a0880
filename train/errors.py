"""What a command line reports in one line."""

__all__ = ["OptionError"]


class OptionError(ValueError):
    """An option of the command line cannot be honoured.

    Args:
        option: its name with dashes, e.g. "--run".
        message: what is wrong and what to do, one line.
    """

    def __init__(self, option: str, message: str) -> None:
        super().__init__(f"{option}: {message}")
