"""What a command says on stderr, one line at a time, and the exceptions that such a line is enough for."""

import sys

from bduo_runtime._errors import ModelError
from bduo_runtime._library import OptionError

__all__ = ["EXPECTED", "UsageError", "complain", "first_line", "printable", "say"]


class UsageError(Exception):
    """The user can put right what is wrong; the message says what it is."""


EXPECTED = (ModelError, OptionError, UsageError, OSError, ImportError, MemoryError)
"""What may go wrong without a fault in the program: each becomes one line instead of a traceback."""


def complain(error: Exception) -> int:
    """Writes one line about an error to stderr; returns the exit code."""
    message = first_line(error)
    if isinstance(error, OSError) and error.filename and error.strerror:
        message = f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        message = "not enough memory" + (f": {error}" if str(error) else "")
    say(f"error: {message}")
    return 1


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class where it has no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def say(message: str) -> None:
    """Writes one line to stderr."""
    if sys.stderr is not None:
        print(f"python -m bduo_runtime: {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    """A text in which control characters, of the name of a file for instance, cannot steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
