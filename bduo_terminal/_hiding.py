"""Keeps TensorFlow, LiteRT and other packages off the terminal, wherever in them the text comes from.

Much of it is written by C++ to file descriptor 2, some before any setting of TensorFlow's is read. So that descriptor
is pointed to a temporary file, and Python's `sys.stderr`, to which the commands write, to the terminal itself.
"""

import argparse
import contextlib
import faulthandler
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType

__all__ = ["add_verbose", "hide_others"]

_TAIL = 20  # lines, of at most 4000 bytes


def add_verbose(parser: argparse.ArgumentParser) -> None:
    """Give a command's parser the option that `hide_others` looks for."""
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="also show what TensorFlow and other packages write"
    )


def hide_others(argv: Sequence[str]) -> None:
    """Show from now on only what this process writes to `sys.stdout` and `sys.stderr`, unless `argv` has --verbose.

    To be called once, by what starts a command, before TensorFlow is imported. Hidden are file descriptor 2, which
    child processes inherit, and Python's warnings and log records but errors. What was hidden last is shown below the
    traceback of an exception that ends the process.

    Args:
        argv: the command's arguments.
    """
    verbose = any(a == "-v" or (len(a) > 2 and "--verbose".startswith(a)) for a in argv)  # as argparse understands it
    if sys.stderr is None or verbose:
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    hidden = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
    os.dup2(hidden.fileno(), 2)
    # sys.__stderr__ keeps descriptor 2.
    sys.stderr = open(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")  # noqa: SIM115
    faulthandler.enable(sys.stderr)

    # TensorFlow, absl and Larq add no handlers of their own where there are some already.
    chatter, errors = logging.StreamHandler(sys.__stderr__), logging.StreamHandler(sys.stderr)
    chatter.addFilter(lambda record: record.levelno < logging.ERROR)
    errors.setLevel(logging.ERROR)
    logging.basicConfig(format="%(name)s: %(message)s", handlers=[chatter, errors])
    logging.captureWarnings(True)
    # Its advice, a line a layer, is for gradients that are clipped, which ScaledSign's is not.
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
