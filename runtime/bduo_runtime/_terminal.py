"""What a command shows: its own lines, and nothing that LiteRT's C++ writes to file descriptor 2."""

import contextlib
import faulthandler
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["finish_output", "quiet"]

_TAIL_BYTES = 4000


@contextlib.contextmanager
def quiet(expected: tuple[type[Exception], ...]) -> Iterator[None]:
    """Only `sys.stderr` reaches the terminal; what is written to its file descriptor by others is kept aside.

    It is for a whole process. An exception that is not one of `expected` ends the process, with its traceback and the
    last of what was kept.
    """
    try:
        terminal = os.dup(2)
    except OSError:  # closed: nothing reaches it anyway
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
    try:
        return tempfile.TemporaryFile()
    except OSError:  # there is no place for one
        return open(os.devnull, "w+b")


def _tail(kept: IO[Any]) -> str:
    size = kept.seek(0, os.SEEK_END)
    kept.seek(max(0, size - _TAIL_BYTES))
    return kept.read().decode(errors="replace")


def finish_output() -> None:
    """Gives up what standard output does not take, so that Python does not complain of it again when it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
