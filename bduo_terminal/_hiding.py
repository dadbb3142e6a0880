"""Keeps what TensorFlow, LiteRT and other packages write off the terminal.

Their C++ code writes much of it to file descriptor 2, some before TensorFlow reads any setting. Therefore that
descriptor is redirected to a temporary file, and Python's `sys.stderr`, to which the commands write, to the terminal.
"""

import argparse
import contextlib
import faulthandler
import logging
import os
import sys
from collections.abc import Sequence
from types import TracebackType

from bduo_terminal._descriptor import set_aside

__all__ = ["add_verbose", "hide_others"]

_TAIL = 20  # so many lines of what was hidden are shown after an unexpected error, at most 4000 bytes


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Adds the option --verbose, which `hide_others` looks for, to a command's parser."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also show what TensorFlow and other packages write"
    )


def hide_others(argv: Sequence[str]) -> None:
    """Shows from now on only what this process writes to `sys.stdout` and `sys.stderr`, unless `argv` has --verbose.

    The program that starts a command calls this once, before TensorFlow is imported. It hides what is written to file
    descriptor 2, by child processes too, Python's warnings, and log records below errors. If an exception ends the
    process, the last lines that were hidden are shown below its traceback.

    Args:
        argv: the command's arguments.
    """
    # argparse takes the beginning of a long option for the option.
    verbose = any(a == "-v" or (len(a) > 2 and "--verbose".startswith(a)) for a in argv)
    if sys.stderr is None or verbose:
        return
    terminal, hidden = set_aside()
    # sys.__stderr__ still writes to descriptor 2, which is hidden now.
    sys.stderr = open(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")  # noqa: SIM115
    faulthandler.enable(sys.stderr)

    # TensorFlow, absl and Larq add no log handlers where the root logger has some already.
    chatter, errors = logging.StreamHandler(sys.__stderr__), logging.StreamHandler(sys.stderr)
    chatter.addFilter(lambda record: record.levelno < logging.ERROR)
    errors.setLevel(logging.ERROR)
    logging.basicConfig(format="%(name)s: %(message)s", handlers=[chatter, errors])
    logging.captureWarnings(True)
    # Larq advises, in a line for each layer, to clip weights. That is meant for quantizers that clip gradients, which
    # ScaledSign does not.
    logging.getLogger("larq.layers_base").setLevel(logging.ERROR)

    def with_hidden(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, traceback)
        if issubclass(kind, Exception) and (tail := _tail(hidden.fileno())):
            print(f"\nLast of what was hidden (--verbose shows all of it):\n{tail}", file=sys.stderr)

    sys.excepthook = with_hidden


def _tail(file: int) -> str:
    """The last lines of what was hidden, read from the file descriptor of the temporary file."""
    with contextlib.suppress(AttributeError, OSError):
        sys.__stderr__.flush()  # type: ignore[union-attr]
    size = os.fstat(file).st_size
    text = os.pread(file, 4000, max(0, size - 4000)).decode(errors="replace")
    return "\n".join(text.splitlines()[-_TAIL:])
