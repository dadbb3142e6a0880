"""Which binary activations fall on the other side of their threshold in a file than in Keras, and whether they may."""

from collections.abc import Mapping

import numpy as np

from bduo_tf.conversion.interpreters import Interpreter
from bduo_tf.deployment import Deployment

__all__ = ["TRACED", "Tracer", "unexplained"]

TRACED = 64
"""On how many images all activations are compared one by one. Images that do not agree are traced besides."""

_BATCH = 32


class Tracer:
    """Compares the binary activations that an interpreter computes with those that Keras computes.

    Args:
        deployment: the model and its deployment graph.
        probes: runs the file of `deployment.probes()`, the graph up to its binary activations. None if the model has
            no binary activations.
    """

    def __init__(self, deployment: Deployment, probes: Interpreter | None) -> None:
        self._deployment = deployment
        self._probes = probes
        self._fixed = deployment.binary.inputs[0].shape[0]  # the batch size of the model; None if any size will do

    def count(self, inputs: list[np.ndarray]) -> dict[str, tuple[np.ndarray, int]]:
        """Counts the activations that flipped.

        Args:
            inputs: for each input of the model an array (images, ...).

        Returns:
            For each layer that reads binary activations how many of them flipped in each image, int (images,), and
            how many there are in one image.
        """
        flips: dict[str, tuple[np.ndarray, int]] = {}
        step = self._fixed or _BATCH
        for start in range(0, len(inputs[0]), step):
            for name, (flipped, total) in self._flips([x[start : start + step] for x in inputs]).items():
                before = flips[name][0] if name in flips else np.zeros(0, int)
                flips[name] = (np.concatenate([before, flipped]), total)
        return flips

    def of_image(self, inputs: list[np.ndarray]) -> dict[str, tuple[int, int]]:
        """Counts the activations that flipped in one image: (flipped, total) for each layer.

        Args:
            inputs: for each input of the model an array (1, ...).
        """
        return {name: (int(flipped.sum()), total) for name, (flipped, total) in self._flips(inputs).items()}

    def _flips(self, inputs: list[np.ndarray]) -> dict[str, tuple[np.ndarray, int]]:
        if self._probes is None:
            return {}
        count = len(inputs[0])
        if self._fixed is not None:  # The batch is filled up with copies, whose counts are cut off below.
            inputs = [np.concatenate([x, np.repeat(x[-1:], self._fixed - count, axis=0)]) for x in inputs]
        images = inputs if len(inputs) > 1 else inputs[0]
        probed = np.asarray(self._probes.predict(images)).reshape(len(inputs[0]), -1)
        found = self._deployment.flips_by_image(images, probed)
        return {name: (flipped[:count], total) for name, (flipped, total) in found.items()}


def unexplained(flips: Mapping[str, tuple[np.ndarray | int, int]]) -> list[str]:
    """Names the layers in which more activations flipped than rounding explains, one line for each.

    Rounding alone flips few activations of a layer; they are counted over all images in which nothing flipped before
    that layer. Once an activation has flipped, it changes those after it, which in a deep network on a stream of floats
    soon are a large share. So a layer may have ten times the share of flips of any layer before it in the same image.

    Args:
        flips: for each layer, in the order of the graph, how many activations flipped in each image, int (images,), or
            a number if there is one image; and how many activations there are in one image.
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
