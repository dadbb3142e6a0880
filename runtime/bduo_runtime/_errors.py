"""The error of a model that cannot be run, and LiteRT's messages made fit to be its text."""

import re

__all__ = ["ModelError", "one_line"]


class ModelError(ValueError):
    """A file is no TFLite model, or one that cannot be run; the message is one line."""


def one_line(error: Exception) -> str:
    """The first message of an error of LiteRT's, which strings those of all consequences together behind it."""
    if isinstance(error, UnicodeDecodeError):  # LiteRT decodes names only, and messages with names in them
        return "a name in it is not UTF-8"
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = re.sub(r"(?<=.)Node number \d+ \(.*", "", lines[0])
    before, unresolved, operator = first.partition("Encountered unresolved custom op: ")
    if unresolved and not before:
        return f"neither LiteRT nor bduo_runtime knows the operator {operator.split('.')[0]}"
    return first
