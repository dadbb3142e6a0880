"""Keeps TensorFlow, LiteRT and other packages off the terminal, wherever in them the text comes from.

Much of it is written by C++ to file descriptor 2, some of it before any setting of TensorFlow is read. So that
descriptor is pointed to a temporary file, and Python's `sys.stderr`, to which the commands write, to the terminal.
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

_TAIL = 20  # lines, of at most 4000 bytes


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Gives a command's parser the option that `hide_others` looks for."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also show what TensorFlow and other packages write"
    )


def hide_others(argv: Sequence[str]) -> None:
    """Shows from now on only what this process writes to `sys.stdout` and `sys.stderr`, unless `argv` has --verbose.

    The program that starts a command calls it once, before TensorFlow is imported. It hides what is written to file
    descriptor 2, which child processes inherit, Python's warnings, and all log records that are no errors. An exception
    that ends the process shows the last of what was hidden below its traceback.

    Args:
        argv: the command's arguments.
    """
    verbose = any(a == "-v" or (len(a) > 2 and "--verbose".startswith(a)) for a in argv)  # argparse takes a prefix too
    if sys.stderr is None or verbose:
        return
    terminal, hidden = set_aside()
    # `sys.__stderr__` goes on writing to descriptor 2, and so to the hidden file.
    sys.stderr = open(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")  # noqa: SIM115
    faulthandler.enable(sys.stderr)

    # TensorFlow, absl and Larq add no handlers of their own where there are some already.
    chatter, errors = logging.StreamHandler(sys.__stderr__), logging.StreamHandler(sys.stderr)
    chatter.addFilter(lambda record: record.levelno < logging.ERROR)
    errors.setLevel(logging.ERROR)
    logging.basicConfig(format="%(name)s: %(message)s", handlers=[chatter, errors])
    logging.captureWarnings(True)
    # Larq advises, once for each layer, to clip weights whose gradient is clipped. That of ScaledSign is not.
    logging.getLogger("larq.layers_base").setLevel(logging.ERROR)

    def with_hidden(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, traceback)
        if issubclass(kind, Exception) and (tail := _tail(hidden.fileno())):
            print(f"\nLast of what was hidden (--verbose shows all of it):\n{tail}", file=sys.stderr)

    sys.excepthook = with_hidden


def _tail(file: int) -> str:
    with contextlib.suppress(AttributeError, OSError):
        sys.__stderr__.flush()  # type: ignore[union-attr]
    size = os.fstat(file).st_size
    text = os.pread(file, 4000, max(0, size - 4000)).decode(errors="replace")
    return "\n".join(text.splitlines()[-_TAIL:])
