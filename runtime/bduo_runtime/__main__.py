"""Starts the command `python -m bduo_runtime`."""

import sys

from bduo_runtime import _terminal
from bduo_runtime._cli import main

if __name__ == "__main__":
    if sys.stdout is not None:  # a class or file name may have characters that the terminal lacks
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = main(shown=_terminal.quiet)
    _terminal.finish_output()
    sys.exit(code)
