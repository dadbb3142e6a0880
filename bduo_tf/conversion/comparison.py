"""Two computations of the outputs of a model, compared image by image."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Comparison", "Difference", "OutputComparison"]

_TWENTIETH = 1 / 20
_ROUNDING = 1e-7  # of float32 numbers about 1, whose sum may be 0


@dataclass(frozen=True)
class Difference:
    """How far one output is from what it should be.

    Attributes:
        agreeing: on how many images it agrees.
        largest: difference of an element, over all images.
        median: the median over images of the largest difference of an element.
        scale: the median over images of the largest element, to hold the differences against.
    """

    agreeing: int
    largest: float
    median: float
    scale: float

    @property
    def relative(self) -> float:
        """The largest difference by the size of the output."""
        if self.largest == 0:
            return 0.0
        return self.largest / self.scale if self.scale else float("inf")

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass
class OutputComparison:
    """One output of a model. An output of scores, (batch, classes), agrees on an image by its arg max.

    Any other (maps, boxes, single units) agrees if the root mean square of the difference is at most a twentieth of
    the output's own (that of the median image); integers if at most a twentieth of them differ.
    """

    name: str
    scores: bool = False
    whole: bool = False  # integers or true and false
    _agrees: list[np.ndarray] = field(default_factory=list)
    _root_mean_square: list[np.ndarray] = field(default_factory=list)
    _size: list[np.ndarray] = field(default_factory=list)
    _largest: list[np.ndarray] = field(default_factory=list)
    _distance: list[np.ndarray] = field(default_factory=list)

    def add(self, expected: np.ndarray, computed: np.ndarray) -> np.ndarray:
        """Compares a batch.

        Args:
            expected: array (batch, ...).
            computed: the same elements.

        Returns:
            For each image whether it may turn out to disagree, once all are known.
        """
        self.whole = expected.dtype.kind in "iub"
        self.scores = expected.ndim == 2 and expected.shape[1] >= 2 and not self.whole
        rows = (len(expected), -1) if expected.size else (len(expected), 0)
        ours, theirs = (x.reshape(rows).astype(np.float64) for x in (expected, computed))
        difference = np.abs(ours - theirs)
        self._size.append(np.abs(ours).max(axis=-1, initial=0.0))
        self._largest.append(difference.max(axis=-1, initial=0.0))
        if self.scores:
            self._agrees.append(ours.argmax(-1) == theirs.argmax(-1))
            return ~self._agrees[-1]
        if self.whole:
            nothing = np.ones(len(expected), bool)
            self._agrees.append((difference > 0).mean(axis=-1) <= _TWENTIETH if difference.size else nothing)
            return ~self._agrees[-1]
        self._root_mean_square.append(_root_mean_square(ours))
        self._distance.append(_root_mean_square(difference))
        # Half of what is allowed, since the median of all images may be less than that of those so far.
        return ~(self._distance[-1] <= _TWENTIETH / 2 * np.median(np.concatenate(self._root_mean_square)))

    def agrees(self) -> np.ndarray:
        """For each image whether the output agrees."""
        if self.scores or self.whole:
            return np.concatenate(self._agrees)
        return np.concatenate(self._distance) <= _TWENTIETH * np.median(np.concatenate(self._root_mean_square))

    def differences(self) -> np.ndarray:
        """For each image the largest difference of an element."""
        return np.concatenate(self._largest)

    def summary(self) -> Difference:
        differences = self.differences()
        return Difference(
            int(self.agrees().sum()), float(differences.max()), float(np.median(differences)), self.scale()
        )

    def scale(self) -> float:
        return float(np.median(np.concatenate(self._size)))

    def apart(self) -> np.ndarray:
        """For each image whether the output differs by more than rounding."""
        # Two scores that are as close as rounding may change places, and with them an integer that is their arg max.
        return ~self.agrees() if self.whole else ~(self.differences() <= max(1e-3 * self.scale(), _ROUNDING))


class Comparison:
    """All outputs of a model; an image agrees if all its outputs do."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.outputs = tuple(OutputComparison(name) for name in names)

    def add(self, expected: list[np.ndarray], computed: list[np.ndarray]) -> np.ndarray:
        """Compares a batch; returns for each image whether it may turn out to disagree."""
        found = [o.add(e, c) for o, e, c in zip(self.outputs, expected, computed, strict=True)]
        return np.any(found, axis=0)

    def agrees(self) -> np.ndarray:
        """For each image whether all outputs agree."""
        return np.all([output.agrees() for output in self.outputs], axis=0)

    def apart(self) -> np.ndarray:
        """For each image whether an output differs by more than rounding."""
        return np.any([output.apart() for output in self.outputs], axis=0)

    @property
    def by_arg_max(self) -> bool:
        """Whether the model is a classifier: one output, (batch, classes)."""
        return len(self.outputs) == 1 and self.outputs[0].scores


def _root_mean_square(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(rows**2, axis=-1)) if rows.size else np.zeros(len(rows))
