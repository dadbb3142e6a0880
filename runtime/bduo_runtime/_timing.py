"""How long functions take, side by side: they take turns, so that what slows the machine down slows all of them."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

__all__ = ["Latency", "bench"]

_WARM_UP = 3
_Name = TypeVar("_Name", bound=Hashable)


@dataclass(frozen=True)
class Latency:
    """How long one call takes.

    Attributes:
        rounds: for each round the milliseconds of a call, in the mean over one turn.
    """

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds, in milliseconds."""
        return float(np.median(self.rounds))

    @property
    def minimum(self) -> float:
        """The shortest round, in milliseconds."""
        return min(self.rounds)

    def ratio_to(self, other: "Latency") -> float:
        """How many times as long as `other` it takes: the median of the ratios in the rounds that both were in."""
        return float(np.median(np.divide(self.rounds, other.rounds)))


def bench(running: Mapping[_Name, Callable[[], object]], rounds: int = 30, turn: float = 20.0) -> dict[_Name, Latency]:
    """Times functions side by side.

    In every round each of them has a turn, in which it is called again and again, as for a stream of images.

    ```python
    ours, other = (bduo_runtime.Interpreter(path) for path in ("model.tflite", "other.tflite"))
    times = bduo_runtime.bench({"ours": ours.litert.invoke, "other": other.litert.invoke})
    print(times["ours"].median, times["other"].ratio_to(times["ours"]))
    ```

    Args:
        running: the functions by name.
        rounds: how many turns each of them has.
        turn: the length of a turn in milliseconds. 0 makes a turn of one call, before which the other functions have
            driven its data from the caches.

    Returns:
        The latency of each function, by name.
    """
    repeats = {}
    for name, run in running.items():
        _seconds(run, _WARM_UP)
        repeats[name] = max(1, round(1e-3 * turn / max(_seconds(run, _WARM_UP), 1e-6)))
    taken: dict[_Name, list[float]] = {name: [] for name in running}
    for _ in range(rounds):
        for name, run in running.items():
            taken[name].append(1e3 * _seconds(run, repeats[name]))
    return {name: Latency(tuple(times)) for name, times in taken.items()}


def _seconds(run: Callable[[], object], times: int) -> float:
    """The seconds of one call, in the mean over so many of them."""
    start = time.perf_counter()
    for _ in range(times):
        run()
    return (time.perf_counter() - start) / times
