"""A long-running worker: threads that classify what comes through a bounded queue.

    python examples/worker.py model.tflite --threads 2 --frames 100000 --broken 1000

`Workers` is what to copy. The rest feeds it with random frames, some of them broken, and shows that memory stays as it
is. Ctrl+C and SIGTERM end it: what has been accepted is still classified, unless Ctrl+C is pressed once more.
"""

import argparse
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

import bduo_runtime

Outcome = list[bduo_runtime.Prediction] | Exception


class Workers:
    """Threads that classify frames, each with an interpreter of its own, so that they run side by side.

    Use it in a `with` statement, which waits for all frames in the end.

    Args:
        model: the .tflite file.
        count: the number of threads.
        done: is called with the key of each frame and its likeliest classes, or with the error that the frame gave. It
            is called by the threads, but never by two at a time; frames may overtake each other.
        waiting: how many frames may wait. `put` blocks while so many do, so that memory is bounded.
    """

    def __init__(self, model: str, count: int, done: Callable[[Any, Outcome], object], waiting: int = 8) -> None:
        self._done, self._lock = done, threading.Lock()
        self._frames: queue.Queue[tuple[Any, np.ndarray] | None] = queue.Queue(waiting)
        # They are made here, so that a model that cannot be run is an error of the caller's, before any thread starts.
        interpreters = [bduo_runtime.Interpreter(model) for _ in range(count)]
        self._threads = [threading.Thread(target=self._work, args=(each,), daemon=True) for each in interpreters]
        for thread in self._threads:
            thread.start()

    def put(self, key: Any, frame: np.ndarray) -> None:
        """Hands over a frame, uint8 (height, width, channels), which must not be changed afterwards."""
        self._frames.put((key, frame))

    def close(self) -> None:
        """Waits until all frames are classified, and ends the threads."""
        for _ in self._threads:
            self._frames.put(None)
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self, interpreter: bduo_runtime.Interpreter) -> None:
        while (item := self._frames.get()) is not None:
            key, frame = item
            outcome: Outcome
            try:
                outcome = interpreter.classify(frame)
            except Exception as e:  # of this frame alone: the next one may be good
                outcome = e
            try:
                with self._lock:
                    self._done(key, outcome)
            except Exception:  # a thread that ends here would leave `put` waiting
                logging.exception("frame %s: its result was lost", key)


class Count:
    """Counts results, and prints now and then how many there are and how much memory the process has.

    Args:
        every: after how many frames it prints.
    """

    def __init__(self, every: int) -> None:
        self.frames = self.errors = 0
        self._every, self._start = every, time.perf_counter()

    def add(self, key: int, outcome: Outcome) -> None:
        """Takes the outcome of a frame."""
        self.frames += 1
        self.errors += isinstance(outcome, Exception)
        if self.frames % self._every == 0:
            self.show()

    def show(self) -> None:
        """Prints a line."""
        rate = self.frames / (time.perf_counter() - self._start)
        print(f"{self.frames:8} frames, {self.errors} errors, {rate:7.1f} a second, {_resident()}", flush=True)


def _resident() -> str:
    """The memory that the process has now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # it is not Linux
        return "memory unknown"
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.1f} MiB"


def _terminate(*_: object) -> None:
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Classifies random frames; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2, help="default 2")
    parser.add_argument("--frames", type=int, default=1000, help="default 1000")
    parser.add_argument("--broken", type=int, default=0, metavar="N", help="each Nth frame is no picture")
    parser.add_argument("--every", type=int, default=10_000, metavar="N", help="print after N frames, default 10000")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _terminate)
    (shape,) = bduo_runtime.Interpreter(args.model).input_shapes
    pictures = np.random.default_rng(0).integers(0, 256, (16, *shape[1:]), np.uint8)
    code = 0
    count = Count(args.every)
    with Workers(args.model, args.threads, count.add) as workers:
        count.show()
        try:
            for number in range(1, args.frames + 1):
                picture = pictures[number % len(pictures)]
                broken = args.broken and number % args.broken == 0
                workers.put(number, picture.astype(float) if broken else picture)
        except KeyboardInterrupt:
            code = 130
    count.show()
    return code


if __name__ == "__main__":
    sys.exit(main())
