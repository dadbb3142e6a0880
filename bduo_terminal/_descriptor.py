"""File descriptor 2, to which C++ writes whatever Python's `sys.stderr` is, pointed to a temporary file."""

import os
import sys
import tempfile
from typing import IO

__all__ = ["set_aside"]


def set_aside() -> tuple[int, IO[bytes]]:
    """Points file descriptor 2 to a temporary file.

    Returns:
        A new descriptor of where it led before, with which `os.dup2(before, 2)` leads it back, and the file.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    before = os.dup(2)
    aside = tempfile.TemporaryFile()  # noqa: SIM115  # the caller decides how long it is needed
    os.dup2(aside.fileno(), 2)
    return before, aside
