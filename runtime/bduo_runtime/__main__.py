"""`python -m bduo_runtime`."""

import sys

from bduo_runtime import _terminal
from bduo_runtime._cli import main

if __name__ == "__main__":
    # A class or file name that the terminal has no characters for is shown all the same.
    if sys.stdout is not None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main(shown=_terminal.quiet))
