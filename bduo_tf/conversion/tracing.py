"""Binary activations that fall on the other side of their threshold in a file than in Keras."""

from collections.abc import Callable, Mapping

import numpy as np

from bduo_tf.conversion.interpreters import Interpreter
from bduo_tf.conversion.tflite import convert_lce
from bduo_tf.deployment import Deployment

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

    def count(self, inputs: list[np.ndarray]) -> dict[str, tuple[np.ndarray, int]]:
        """For each binary layer how many activations flipped in each image, (images,), and of how many in one."""
        flips: dict[str, tuple[np.ndarray, int]] = {}
        step = self._fixed or _BATCH
        for start in range(0, len(inputs[0]), step):
            for name, (flipped, total) in self._flips([x[start : start + step] for x in inputs]).items():
                before = flips[name][0] if name in flips else np.zeros(0, int)
                flips[name] = (np.concatenate([before, flipped]), total)
        return flips

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


def unexplained(flips: Mapping[str, tuple[np.ndarray | int, int]]) -> list[str]:
    """Layers with more flips than a few by rounding and, in an image, ten times the share of any layer before them.

    Rounding alone flips few activations of a layer, counted over all images in which nothing flipped before it. An
    activation that flipped changes those after it; in a deep network on a stream of floats that is soon a large share.

    Args:
        flips: for each layer, in the order of the graph, the activations that flipped in each image, (images,) or of
            one image a number, and how many there are in one image.
    """
    problems = []
    before: np.ndarray | float = 0.0
    for name, (counted, total) in flips.items():
        flipped = np.atleast_1d(counted)
        before = np.broadcast_to(before, flipped.shape)
        first = before == 0
        excess = flipped > 3 + (1e-4 + 10 * before) * total
        if flipped[first].sum() > 3 + 1e-4 * total * first.sum():
            excess |= first & (flipped > 0)
        if excess.any():
            worst = int(np.argmax(np.where(excess, flipped, -1)))
            more = f" and in {excess.sum() - 1} images more" if excess.sum() > 1 else ""
            problems.append(
                f"{flipped[worst]} of {total} activations of layer {name} flipped in image {worst}{more}, at most "
                f"{before[worst]:.2g} of those of a layer before it: more than rounding explains"
            )
        before = np.maximum(before, flipped / total)
    return problems
