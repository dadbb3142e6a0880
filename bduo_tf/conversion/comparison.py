"""Two computations of the outputs of a model, compared image by image."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["Comparison", "Difference", "OutputComparison"]

_TWENTIETH = 1 / 20
_ROUNDING = 1e-7  # what rounding makes of float32 numbers of about 1, whose sum may be 0


@dataclass(frozen=True)
class Difference:
    """How far one output is from what it should be.

    Attributes:
        agreeing: on how many images it agrees.
        largest: the largest difference of an element over all images.
        median: the median over images of the largest difference of an element.
        scale: the median over images of the largest element, to hold the differences against.
    """

    agreeing: int
    largest: float
    median: float
    scale: float

    @property
    def relative(self) -> float:
        """The largest difference divided by the size of the output."""
        if self.largest == 0:
            return 0.0
        return self.largest / self.scale if self.scale else float("inf")

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass
class OutputComparison:
    """Collects one output of a model, batch by batch, and tells on which images it agrees.

    An output of scores, (batch, classes), agrees on an image if both have the same arg max. Integers agree if at most a
    twentieth of them differ. Any other output (maps, boxes, single units) agrees if the root mean square of its
    difference is at most a twentieth of the root mean square of the output itself in the median image.

    Attributes:
        name: the name of the output.
        scores: whether it is one of scores.
        whole: whether it is one of integers, or of true and false.
    """

    name: str
    scores: bool = False
    whole: bool = False
    _agrees: list[np.ndarray] = field(default_factory=list)
    _root_mean_square: list[np.ndarray] = field(default_factory=list)
    _size: list[np.ndarray] = field(default_factory=list)
    _largest: list[np.ndarray] = field(default_factory=list)
    _distance: list[np.ndarray] = field(default_factory=list)

    def add(self, expected: np.ndarray, computed: np.ndarray) -> np.ndarray:
        """Compares a batch.

        Args:
            expected: array (batch, ...).
            computed: array of the same shape.

        Returns:
            Whether each image may turn out to disagree once all images are known, bool (batch,).
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
        # Half of what is allowed counts here, since the median of all images may be less than that of those so far.
        return ~(self._distance[-1] <= _TWENTIETH / 2 * np.median(np.concatenate(self._root_mean_square)))

    def agrees(self) -> np.ndarray:
        """Returns whether the output agrees on each image, bool (images,)."""
        if self.scores or self.whole:
            return np.concatenate(self._agrees)
        return np.concatenate(self._distance) <= _TWENTIETH * np.median(np.concatenate(self._root_mean_square))

    def differences(self) -> np.ndarray:
        """Returns the largest difference of an element in each image, (images,)."""
        return np.concatenate(self._largest)

    def summary(self) -> Difference:
        differences = self.differences()
        return Difference(
            int(self.agrees().sum()), float(differences.max()), float(np.median(differences)), self.scale()
        )

    def scale(self) -> float:
        """Returns the median over images of the largest element."""
        return float(np.median(np.concatenate(self._size)))

    def apart(self) -> np.ndarray:
        """Returns whether the output differs by more than rounding on each image, bool (images,)."""
        # Two scores that are as close as rounding may change places, and an integer that is their arg max with them.
        return ~self.agrees() if self.whole else ~(self.differences() <= max(1e-3 * self.scale(), _ROUNDING))


class Comparison:
    """Collects all outputs of a model; an image agrees if all its outputs do."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.outputs = tuple(OutputComparison(name) for name in names)

    def add(self, expected: list[np.ndarray], computed: list[np.ndarray]) -> np.ndarray:
        """Compares a batch; returns whether each image may turn out to disagree, bool (batch,)."""
        found = [o.add(e, c) for o, e, c in zip(self.outputs, expected, computed, strict=True)]
        return np.any(found, axis=0)

    def agrees(self) -> np.ndarray:
        """Returns whether all outputs agree on each image, bool (images,)."""
        return np.all([output.agrees() for output in self.outputs], axis=0)

    def apart(self) -> np.ndarray:
        """Returns whether an output differs by more than rounding on each image, bool (images,)."""
        return np.any([output.apart() for output in self.outputs], axis=0)

    @property
    def by_arg_max(self) -> bool:
        """Whether the model is a classifier: one output, (batch, classes)."""
        return len(self.outputs) == 1 and self.outputs[0].scores


def _root_mean_square(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(rows**2, axis=-1)) if rows.size else np.zeros(len(rows))
