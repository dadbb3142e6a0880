"""A folder that is watched: its pictures, and each one that comes later, once it is whole."""

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from bduo_runtime._messages import UsageError
from bduo_runtime._pictures import read_picture
from bduo_runtime._source import Image, Images

__all__ = ["SETTLED_SECONDS", "SUFFIXES", "Folder", "watch"]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""The endings of the files that are taken for pictures; the names of unfinished files mostly end otherwise."""

SETTLED_SECONDS = 0.5
"""A file is read when it has not changed for so long, because its writer may not be done before."""

_POLL_SECONDS = 0.1

_State = tuple[int, int, int, int]


@dataclass
class _File:
    """What is known of a picture file.

    Attributes:
        state: its state when it was seen last.
        since: the time at which it was first seen in this state.
        done: whether it has been handed out in this state.
    """

    state: _State
    since: float
    done: bool = False


class Folder:
    """Finds the pictures of a folder that have not been handed out yet and are no longer being written.

    A file counts as written when its size, its time and its number in the file system have stayed the same for
    SETTLED_SECONDS. A file that changes later, or is replaced by another of its name, is handed out again.

    Args:
        path: the folder.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._files: dict[str, _File] = {}

    def poll(self, now: float) -> list[Image]:
        """Looks into the folder once.

        Args:
            now: the time in seconds, on a clock that never goes back.

        Returns:
            The pictures that have become due, the oldest first. To read one gives None if it has changed or vanished
            in the meantime.

        Raises:
            OSError: the folder cannot be read.
        """
        states = self._states()
        self._files = {
            name: known if (known := self._files.get(name)) and known.state == state else _File(state, now)
            for name, state in states.items()
        }
        due = [n for n, file in self._files.items() if not file.done and now - file.since >= SETTLED_SECONDS]
        due.sort(key=lambda name: (states[name][1], name))
        for name in due:
            self._files[name].done = True
        return [self._image(os.path.join(self._path, name), states[name]) for name in due]

    def _states(self) -> dict[str, _State]:
        """The state of each picture file, by name. Hidden files are left out: many programs write into such first."""
        states = {}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.lower().endswith(SUFFIXES):
                    continue
                if state := _state(entry.path):
                    states[entry.name] = state
        return states

    def _image(self, path: str, state: _State) -> Image:
        return Image(path, {"file": path}, partial(_read_unchanged, path, state))


def watch(
    path: str, sleep: Callable[[float], object] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> Images:
    """The pictures of a folder, then each one that comes, without an end.

    Args:
        path: the folder.
        sleep: waits for so many seconds, between two looks into the folder.
        clock: tells the time in seconds.

    Raises:
        UsageError: the folder has vanished, or cannot be read any more.
    """
    folder = Folder(path)
    while True:
        try:
            start = clock()
            due = folder.poll(start)
        except OSError as e:
            raise UsageError(f"the folder {path} cannot be watched: {e.strerror}") from None
        yield from due
        if not due:
            sleep(max(_POLL_SECONDS, clock() - start))  # a folder of very many files must not keep a core busy


def _state(path: str) -> _State | None:
    """What changes when a file is written or replaced; None if there is none, or what has that name is not a file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev


def _read_unchanged(path: str, state: _State) -> np.ndarray | None:
    """Reads a picture that was in that state; returns None if it no longer is, when it has been read or could not be.

    The next look into the folder then finds the file as it is.
    """
    try:
        picture = read_picture(path)
    except (UsageError, OSError):
        if _state(path) == state:
            raise
        return None
    return picture if _state(path) == state else None
