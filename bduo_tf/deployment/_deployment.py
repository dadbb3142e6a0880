"""What deployment returns: the binary model, its deployment graph, and a way to count activations that differ."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bduo_tf.backend import keras, tf

__all__ = ["Deployment", "FloatLayer", "Reader"]


@dataclass(frozen=True)
class Reader:
    """A layer that reads binary activations: these in the binary model, and what replaced them.

    Attributes:
        name: the layer's name.
        activation: a tensor of the binary model: what the layer's quantizer reads, or without one the activation.
        quantizer: the layer's own quantizer; None where a layer before it makes the activation.
        compared: the tensor of the deployment graph whose sign is the activation.
        order: int (channels,): channel i of `compared` is channel order[i] of the activation.
        signs: True: the activation is +1 where `compared` is at least 0, and else -1. False: it is 1 where
            `compared` is negative, and else 0.
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
        name: the layer's name.
        reason: why it stays a float layer, a sentence without the full stop at its end.
        from_step: whether a binary activation stands before it, so that a binary product was intended.
    """

    name: str
    reason: str
    from_step: bool


@dataclass(frozen=True)
class Deployment:
    """A binary model, its deployment graph, and what corresponds in them.

    Attributes:
        binary: the binary model, its nested models inlined.
        graph: the deployment graph.
        readers: the layers that read binary activations, in the order of the graph. Of several layers that read the
            same activation only the first is among them.
        floats: the layers with binary kernels that stay float layers.
    """

    binary: keras.Model
    graph: keras.Model
    readers: tuple[Reader, ...]
    floats: tuple[FloatLayer, ...] = ()

    def probes(self) -> keras.Model:
        """The deployment graph up to its binary activations.

        Returns:
            A model with one output, (batch, activations): what `compared` of each reader holds, side by side.
        """
        taken = {layer.name for layer in self.graph.layers}
        # A prefix longer than any name of the graph that begins alike, so that no name is taken.
        prefix = "probe" + "_" * max([0, *(len(name) for name in taken if name.startswith("probe"))])
        flat = [keras.layers.Flatten(name=f"{prefix}_{i}")(reader.compared) for i, reader in enumerate(self.readers)]
        joined = flat[0] if len(flat) == 1 else keras.layers.Concatenate(name=f"{prefix}_all")(flat)
        return keras.Model(tf.nest.pack_sequence_as(self.graph._nested_inputs, self.graph.inputs), joined)

    def count_flips(self, images: Any, probed: np.ndarray) -> dict[str, tuple[int, int]]:
        """Counts the activations that differ from the binary model's, over all images.

        Args:
            images: as for `flips_by_image`.
            probed: as for `flips_by_image`.

        Returns:
            For each reader, by name: how many activations differ, and of how many.
        """
        return {
            name: (int(flipped.sum()), total * len(flipped))
            for name, (flipped, total) in self.flips_by_image(images, probed).items()
        }

    def flips_by_image(self, images: Any, probed: np.ndarray) -> dict[str, tuple[np.ndarray, int]]:
        """Counts the activations that differ from the binary model's, image by image.

        The binary model runs in Keras; an interpreter, for example, has run the graph that `probes` returns. In
        floating point a value that is as near to its threshold as rounding errors are large may fall on either side.

        Args:
            images: inputs, as the model takes them, few enough to be evaluated at once.
            probed: the output of `probes` for these images, (batch, activations).

        Returns:
            For each reader, by name in the order of the graph: how many activations differ, int (batch,), and how
            many there are in one image.
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
        """The binary model up to `activation` of each reader, one output for each of them."""
        inputs = tf.nest.pack_sequence_as(self.binary._nested_inputs, self.binary.inputs)
        return keras.Model(inputs, [reader.activation for reader in self.readers])
