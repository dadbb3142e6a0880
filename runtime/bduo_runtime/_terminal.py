"""Lets a command show its own lines only, and nothing that the C++ of LiteRT writes to file descriptor 2."""

import contextlib
import faulthandler
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["finish_output", "quiet"]

_TAIL_BYTES = 4000  # so much of what was kept aside is shown after an unexpected error


@contextlib.contextmanager
def quiet(expected: tuple[type[Exception], ...]) -> Iterator[None]:
    """Keeps what others write to file descriptor 2 aside, so that only `sys.stderr` reaches the terminal.

    It is meant for a process that does nothing else. An exception that is not one of `expected` ends the process: its
    traceback is shown, and below it the last of what was kept aside.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # the descriptor is closed, so that nothing reaches the terminal anyway
        yield
        return
    shown, had_faults_shown = sys.stderr, faulthandler.is_enabled()
    shown.flush()
    with _kept() as kept, open(terminal, "w", buffering=1, encoding=shown.encoding, errors="backslashreplace") as own:
        os.dup2(kept.fileno(), 2)
        sys.stderr = own
        faulthandler.enable(own)
        try:
            yield
        except expected:
            raise
        except Exception:
            traceback.print_exc()
            own.write(_tail(kept))
            raise SystemExit(1) from None
        finally:
            faulthandler.disable()
            os.dup2(terminal, 2)
            sys.stderr = shown
            if had_faults_shown:
                faulthandler.enable()


def _kept() -> IO[Any]:
    """A file for what is kept aside."""
    try:
        return tempfile.TemporaryFile()
    except OSError:  # no folder takes a temporary file: nothing is kept
        return open(os.devnull, "w+b")


def _tail(kept: IO[Any]) -> str:
    """The last of what was kept aside."""
    size = kept.seek(0, os.SEEK_END)
    kept.seek(max(0, size - _TAIL_BYTES))
    return kept.read().decode(errors="replace")


def finish_output() -> None:
    """Writes out standard output; drops what cannot be written, of which Python would complain again when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
