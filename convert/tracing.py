"""Binary activations that fall on the other side of their threshold in a file than in Keras."""

from collections.abc import Callable

import numpy as np

from bduo_tf.deployment import Deployment
from convert.interpreters import Interpreter
from convert.tflite import convert_lce

__all__ = ["TRACED", "Tracer", "unexplained"]

TRACED = 64
"""How many images' activations are compared one by one (beyond all images that do not agree)."""

_BATCH = 32


class Tracer:
    """Compares the activations of a deployment graph, run up to them in an interpreter, with those in Keras."""

    def __init__(self, deployment: Deployment, interpreter: Callable[[bytes], Interpreter]) -> None:
        self._deployment = deployment
        self._running = interpreter(convert_lce(deployment.probes())) if deployment.readers else None
        self._fixed = deployment.binary.inputs[0].shape[0]  # size of a batch; None if any will do

    def count(self, inputs: list[np.ndarray]) -> tuple[dict[str, tuple[int, int]], np.ndarray]:
        """For each binary layer (flipped, total), over all images; and for each image whether nothing flipped."""
        flips: dict[str, tuple[int, int]] = {}
        clean = np.ones(len(inputs[0]), bool)
        step = self._fixed or _BATCH
        for start in range(0, len(clean), step):
            chunk = slice(start, start + step)
            for name, (flipped, total) in self._flips([x[chunk] for x in inputs]).items():
                before, before_total = flips.get(name, (0, 0))
                flips[name] = (before + int(flipped.sum()), before_total + total * len(flipped))
                clean[chunk] &= flipped == 0
        return flips, clean

    def of_image(self, inputs: list[np.ndarray]) -> dict[str, tuple[int, int]]:
        """For each binary layer (flipped, total) in one image, (1, ...)."""
        return {name: (int(flipped.sum()), total) for name, (flipped, total) in self._flips(inputs).items()}

    def _flips(self, inputs: list[np.ndarray]) -> dict[str, tuple[np.ndarray, int]]:
        if self._running is None:
            return {}
        count = len(inputs[0])
        if self._fixed is not None:  # filled up; what comes of that is cut off
            inputs = [np.concatenate([x, np.repeat(x[-1:], self._fixed - count, axis=0)]) for x in inputs]
        images = inputs if len(inputs) > 1 else inputs[0]
        probed = np.asarray(self._running.predict(images)).reshape(len(inputs[0]), -1)
        found = self._deployment.flips_by_image(images, probed)
        return {name: (flipped[:count], total) for name, (flipped, total) in found.items()}


def unexplained(flips: dict[str, tuple[int, int]]) -> list[str]:
    """Layers with more flips than a few by rounding, or ten times the share of any layer before them."""
    problems = []
    before = 0.0
    for name, (flipped, total) in flips.items():
        if flipped > 3 + (1e-4 + 10 * before) * total or flipped > 0.05 * total + 3:
            problems.append(
                f"{flipped} of {total} activations of layer {name} flipped, at most {before:.2g} of those of a layer "
                "before it: more than rounding explains"
            )
        before = max(before, flipped / total)
    return problems
