"""What deployment returns: two graphs, what corresponds in them, and how to count where they differ."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bduo_tf.backend import keras, tf

__all__ = ["Deployment", "FloatLayer", "Reader"]


@dataclass(frozen=True)
class Reader:
    """A layer that reads binary activations: the activations of the binary model, and what replaced them.

    Attributes:
        name: of the layer.
        activation: tensor of the binary model: what the quantizer reads, or the activation itself.
        quantizer: the layer's own, which makes the activation; None where an earlier layer made it.
        compared: tensor of the deployment graph, whose sign is the activation.
        order: the activation's channel that each channel of `compared` is.
        signs: whether the activation is +1 where `compared` is at least 0 and else -1, or 1 where `compared` is
            negative and else 0.
    """

    name: str
    activation: Any
    quantizer: Any
    compared: Any
    order: np.ndarray
    signs: bool


@dataclass(frozen=True)
class FloatLayer:
    """A layer with binary kernels that multiplies float activations.

    Attributes:
        name: of the layer.
        reason: why, a sentence that ends without a full stop.
        from_step: whether a binary activation stands before it, so that binary operands were meant.
    """

    name: str
    reason: str
    from_step: bool


@dataclass(frozen=True)
class Deployment:
    """A binary model (its nested models inlined), its deployment graph, and what corresponds in them.

    Readers are in the order of the graph; layers that share an activation appear as the first of them.
    `floats` are the layers with binary kernels that stay float layers.
    """

    binary: keras.Model
    graph: keras.Model
    readers: tuple[Reader, ...]
    floats: tuple[FloatLayer, ...] = ()

    def probes(self) -> keras.Model:
        """The deployment graph up to its binary activations: one output, (batch, all of them side by side)."""
        taken = {layer.name for layer in self.graph.layers}
        # Named apart from every layer of the graph.
        prefix = "probe" + "_" * max([0, *(len(name) for name in taken if name.startswith("probe"))])
        flat = [keras.layers.Flatten(name=f"{prefix}_{i}")(reader.compared) for i, reader in enumerate(self.readers)]
        joined = flat[0] if len(flat) == 1 else keras.layers.Concatenate(name=f"{prefix}_all")(flat)
        return keras.Model(tf.nest.pack_sequence_as(self.graph._nested_inputs, self.graph.inputs), joined)

    def count_flips(self, images: Any, probed: np.ndarray) -> dict[str, tuple[int, int]]:
        """`flips_by_image` summed over the images: (flipped, total) for each reader, by name."""
        return {
            name: (int(flipped.sum()), total * len(flipped))
            for name, (flipped, total) in self.flips_by_image(images, probed).items()
        }

    def flips_by_image(self, images: Any, probed: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """Counts the activations on which something that ran `probes()` and the binary model in Keras differ.

        In floating point a value within rounding of its threshold may fall on either side.

        Args:
            images: inputs, as the model takes them, few enough to be evaluated at once.
            probed: what `probes()` computed for them, (batch, activations).

        Returns:
            For each reader, by name in the order of the graph: how many flipped, int (batch,), and of how many in
            one image.
        """
        activations = self._activations(images, training=False)
        flips: dict[str, tuple[np.ndarray, int]] = {}
        start = 0
        for reader, x in zip(self.readers, tf.nest.flatten(activations), strict=True):
            x = np.asarray(x if reader.quantizer is None else reader.quantizer(x))
            size = x[0].size
            negative = probed[:, start : start + size].reshape(x.shape)[..., np.argsort(reader.order)] < 0
            start += size
            differ = (x < 0) != negative if reader.signs else (x >= 0.5) != negative
            other, other_size = flips.get(reader.name, (0, 0))
            flips[reader.name] = (other + differ.reshape(len(x), -1).sum(axis=-1), other_size + size)
        return flips

    @cached_property
    def _activations(self) -> keras.Model:
        """The binary model up to what its readers read."""
        inputs = tf.nest.pack_sequence_as(self.binary._nested_inputs, self.binary.inputs)
        return keras.Model(inputs, [reader.activation for reader in self.readers])
