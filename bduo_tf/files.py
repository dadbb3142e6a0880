"""Writes a file in such a way that no reader ever finds half of it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to; the file is moved to `path` once the block has ended without an error."""
    # The temporary name ends as the final one does: Keras and matplotlib choose the format by the suffix.
    temporary = path.with_name(f".writing-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
