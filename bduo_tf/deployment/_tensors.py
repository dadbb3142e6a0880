"""What a value is as a tensor of the deployment graph: floats, or the signs that LCE's operators read."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bduo_tf.backend import keras, lq
from bduo_tf.deployment._layers import ChannelAffine, ChannelGather, ThresholdCompare, ThresholdStep
from bduo_tf.deployment._thresholds import least_on, thresholds
from bduo_tf.deployment._values import Activation, Binary, Bits, Value

__all__ = ["Tensors"]


class Tensors:
    """Computes values, each of them once however many layers read it.

    Args:
        unique_name: makes a layer's name one that the graph does not have yet.
    """

    def __init__(self, unique_name: Callable[[str], str]) -> None:
        self._unique_name = unique_name
        self._floats: dict[Value | Binary, Any] = {}
        self._bits: dict[Activation, Bits] = {}

    def floats(self, value: Value | Binary) -> Any:
        """The value's content as a tensor of floats; of a binary activation 1 and 0, or +1 and -1."""
        if isinstance(value, Value) and value.scale is None:
            return value.tensor
        if value not in self._floats:
            self._floats[value] = self._affine(value) if isinstance(value, Value) else self._activation(value)
        return self._floats[value]

    def _affine(self, value: Value) -> Any:
        affine = ChannelAffine(value.copies, name=self._unique_name(value.name))
        content = affine(value.tensor)
        affine.set_weights(value.affine())
        return content

    def _activation(self, value: Binary) -> Any:
        name = self._unique_name(f"{value.name}_{'sign' if value.signs else 'step'}")
        if value.signs:
            return lq.quantizers.SteSign(name=name)(self.in_order(self.bits(value)).tensor)
        if isinstance(value, Bits):  # the activation is on where the tensor is negative, that is where -tensor > 0
            tensor, tau = self.in_order(value).tensor, np.zeros((len(value.order), 1))
            orientation = -np.ones(len(value.order))
        else:
            tensor, (orientation, tau) = value.source.tensor, _thresholds(value)
        oriented = bool((orientation < 0).any())
        step = ThresholdStep(tau.shape[1], oriented=oriented, name=name)
        content = step(tensor)
        step.set_weights([tau.T, orientation] if oriented else [tau.T])
        return content

    def bits(self, value: Binary) -> Bits:
        """The activation as the sign of a tensor, which has all first copies of the channels, then all second ones."""
        if isinstance(value, Bits):
            return value
        if value not in self._bits:
            source, channels = value.source, value.source.tensor.shape[-1]
            order = np.arange(channels * source.copies).reshape(channels, source.copies).T.ravel()
            self._bits[value] = Bits(self._compared(value), value.name, order, value.signs)
        return self._bits[value]

    def _compared(self, value: Activation) -> Any:
        """A tensor whose sign is the activation."""
        source = value.source
        if value.signs and source.scale is None and value.level == 0 and not value.strict:
            return source.tensor
        orientation, tau = _thresholds(value)
        if value.signs and source.terms is None:
            # A sign is on where x - tau >= 0, hence tau must be the least number that is on. Between integers it
            # does not matter: x is never equal to tau.
            tau = least_on(tau)
        oriented = bool((orientation < 0).any())
        name = self._unique_name(f"{value.name}_compare")
        compare = ThresholdCompare(source.copies, oriented=oriented, rising=value.signs, name=name)
        tensor = compare(self._in_own_memory(source.tensor, value.name) if source.shared else source.tensor)
        compare.set_weights([tau.T, orientation] if oriented else [tau.T])
        return tensor

    def _in_own_memory(self, tensor: Any, name: str) -> Any:
        """A copy of a tensor that shares no memory with it, by a max pool of one pixel.

        TFLite of the version that LCE is built with subtracts in place. Where the shape was changed in between it
        overlooks that other layers read the same memory, and overwrites what they read.
        """
        name, shape = self._unique_name(f"{name}_copy"), tuple(tensor.shape[1:])
        pixels = keras.layers.Reshape((1, -1, shape[-1]), name=self._unique_name(f"{name}_pixels"))(tensor)
        pixels = keras.layers.MaxPool2D(1, name=name)(pixels)
        return keras.layers.Reshape(shape, name=self._unique_name(f"{name}_shape"))(pixels)

    def in_order(self, bits: Bits) -> Bits:
        """The same activation with the tensor's channels in the order of the activation's channels."""
        if np.array_equal(bits.order, np.arange(len(bits.order))):
            return bits
        gather = ChannelGather(np.argsort(bits.order).tolist(), name=self._unique_name(f"{bits.name}_ordered"))
        return replace(bits, tensor=gather(bits.tensor), order=np.arange(len(bits.order)))


def _thresholds(value: Activation) -> tuple[np.ndarray, np.ndarray]:
    """The orientation of each channel, and the thresholds on the tensor that the activation is computed from."""
    source = value.source
    scale, offset = source.affine()
    return thresholds(scale, offset, level=value.level, strict=value.strict, terms=source.terms, spacing=source.spacing)
