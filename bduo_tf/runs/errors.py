"""What is wrong with the folder of a run."""

__all__ = ["RunError"]


class RunError(ValueError):
    """A folder cannot be used for a run, or is not the folder of one.

    Args:
        message: what is wrong and what to do, in one line.
        setting: the field of `Settings` that is to blame, such as "seed"; "run" for the folder itself.
    """

    def __init__(self, message: str, setting: str = "run") -> None:
        super().__init__(message)
        self.setting = setting
