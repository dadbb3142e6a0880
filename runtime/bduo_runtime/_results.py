"""How the command run shows what it found: text for people, a line of JSON for each image for programs."""

import json
import math
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bduo_runtime._messages import printable, say
from bduo_runtime._scores import Prediction
from bduo_runtime._source import Image, Source

__all__ = ["Results"]

_MOST_TIMES = 10_000
"""The median is that of so many last inferences, so that memory does not grow with a stream."""

_RATE_FRAMES = 30
"""The rate of a stream is that over so many last frames."""


class Results:
    """Shows the result of each image as it comes, and a summary of all in the end.

    Args:
        source: where the images come from.
        as_json: whether each image is one line of JSON on standard output. The summary is then a line on stderr.
        clock: tells the time in seconds.
    """

    def __init__(self, source: Source, as_json: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self._source, self._as_json, self._clock = source, as_json, clock
        self._count = self._failures = 0
        self._times: deque[float] = deque(maxlen=_MOST_TIMES)
        self._start = clock()
        self._ends = deque([self._start], maxlen=_RATE_FRAMES + 1)
        self._refreshing = source.brief and not as_json and sys.stdout is not None and sys.stdout.isatty()
        self._shown = ""

    def add(self, image: Image, milliseconds: float, ranking: Sequence[Prediction]) -> None:
        """Shows the result of an image.

        Args:
            image: the image.
            milliseconds: how long the inference took.
            ranking: its classes, the likeliest first.
        """
        self._count += 1
        self._times.append(milliseconds)
        self._ends.append(self._clock())
        title = f"{printable(image.title)}  {milliseconds:.2f} ms"
        if self._as_json:
            _print(self._json(image, milliseconds, ranking))
        elif self._source.brief:
            best = ranking[0]
            self._print_brief(f"{title}  {self._rate:.1f} a second  {best.probability:6.1%}  {best.label}")
        else:
            classes = [f"  {found.probability:6.1%}  {found.score:9.3f}  {found.label}" for found in ranking]
            _print("\n".join([title, *classes]))

    def fail(self) -> None:
        """Counts an image that could not be read."""
        self._failures += 1

    def end(self, broken: bool) -> None:
        """Shows the summary: of a stream, and of images that were named if there were several.

        Args:
            broken: whether the source failed. If it did so before the first image, there is nothing to sum up.
        """
        if self._shown:
            _print("")
        least = int(broken) if self._source.stream else 2
        if self._count < least:
            return
        parts = [f"{self._count} {self._source.noun}{'s' if self._count != 1 else ''}"]
        if self._source.stream:
            if self._failures:
                parts.append(f"{self._failures} more could not be read")
            parts.append(f"{self._count / max(self._clock() - self._start, 1e-9):.1f} a second")
        if self._times:
            parts.append(f"median {np.median(self._times):.2f} ms")
        (say if self._as_json else _print)(", ".join(parts))

    @property
    def _rate(self) -> float:
        """Images a second, lately."""
        return (len(self._ends) - 1) / max(self._ends[-1] - self._ends[0], 1e-9)

    def _json(self, image: Image, milliseconds: float, ranking: Sequence[Prediction]) -> str:
        line: dict[str, Any] = {**image.origin, "ms": round(milliseconds, 4)}
        if self._source.brief:
            line["fps"] = round(self._rate, 2)
        line["classes"] = [{name: _number(value) for name, value in asdict(found).items()} for found in ranking]
        return json.dumps(line, allow_nan=False)

    def _print_brief(self, text: str) -> None:
        """Prints a line; in a terminal it takes the place of the one before."""
        if not self._refreshing:
            _print(text)
            return
        width = shutil.get_terminal_size().columns - 1  # a line that the terminal breaks could not be written over
        self._shown = text.ljust(len(self._shown))[:width]
        _print("\r" + self._shown, end="")


def _print(text: str, end: str = "\n") -> None:
    """Prints at once: the next image may be long in coming, and a program may wait for this line."""
    print(text, end=end, flush=True)


def _number(value: Any) -> Any:
    """A value as JSON has it: null for the numbers that JSON does not have, infinity and those that are none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
