"""Keras layers of deployment graphs: fixed scales, offsets and thresholds, and channels and margins moved about."""

import itertools
from typing import Any

import numpy as np

from bduo_tf.backend import keras, serializable, tf
from bduo_tf.layers import ChannelCopies

__all__ = ["ChannelAffine", "ChannelGather", "ConstantPad", "ThresholdCompare", "ThresholdStep"]


def _interleave(copies: list[tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    """Joins tensors of the shape of `inputs` so that the copies of each channel lie side by side."""
    if len(copies) == 1:
        return copies[0]
    shape = [tf.shape(inputs)[i] if d is None else d for i, d in enumerate(inputs.shape)]
    return tf.reshape(tf.stack(copies, axis=-1), [*shape[:-1], shape[-1] * len(copies)])


@serializable
class ChannelAffine(ChannelCopies):
    r"""Fixed scales and offsets: y_{cn + k} = scale_{ck} x_c + offset_{ck}.

    Deployment puts this in place of batch normalization where a float is needed: LCE takes the
    multiplication and the addition into the binary convolution before it.

    Args:
        levels: n, the number of copies of each channel.

    Input shape:
        (batch, ..., channels)

    Output shape:
        (batch, ..., channels * levels)
    """

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        shape = (input_shape[-1], self.levels)
        self.scale = self.add_weight(name="scale", shape=shape, initializer="ones", trainable=False)
        self.offset = self.add_weight(name="offset", shape=shape, initializer="zeros", trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        pairs = zip(tf.unstack(self.scale, axis=-1), tf.unstack(self.offset, axis=-1), strict=True)
        return _interleave([inputs * scale + offset for scale, offset in pairs], inputs)


class _ByThreshold(ChannelCopies):
    """Base of the layers with fixed thresholds.

    Args:
        levels: n, the number of thresholds of each channel.
        oriented: whether channels are multiplied by +1 or -1 before they are compared.

    Weights:
        tau: the thresholds, (levels, channels).
        orientation: +1 or -1, (channels,); only of a layer that is oriented.
    """

    def __init__(self, levels: int = 1, oriented: bool = False, **kwargs: Any) -> None:
        super().__init__(levels, **kwargs)
        self.oriented = oriented

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        channels = input_shape[-1]
        self.tau = self.add_weight(name="tau", shape=(self.levels, channels), initializer="zeros", trainable=False)
        if self.oriented:
            self.orientation = self.add_weight(
                name="orientation", shape=(channels,), initializer="ones", trainable=False
            )

    def turned(self, inputs: tf.Tensor) -> tf.Tensor:
        """The inputs, negated in the channels whose activation switches on as they fall."""
        return inputs * self.orientation if self.oriented else inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "oriented": self.oriented}


@serializable
class ThresholdCompare(_ByThreshold):
    r"""Fixed thresholds: y_{kC + c} = tau_{kc} - x_c for C channels, negative where the activation is on.

    The sign of y is the operand s = 1 - 2a of LCE's binary convolution. The channels of each copy lie
    together, because a concatenation is the cheapest way to write them.

    Args:
        levels: n, the number of thresholds of each channel.
        oriented: multiply each channel by an `orientation` of +1 or -1 first, for activations that
            switch on as x falls.
        rising: compute y = x - tau instead, which is negative where the activation is off: the operand for
            activations that are signs.

    Input shape:
        (batch, ..., channels)

    Output shape:
        (batch, ..., levels * channels)
    """

    def __init__(self, levels: int = 1, oriented: bool = False, rising: bool = False, **kwargs: Any) -> None:
        super().__init__(levels, oriented, **kwargs)
        self.rising = rising

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        inputs = self.turned(inputs)
        apart = [inputs - tau if self.rising else tau - inputs for tau in tf.unstack(self.tau)]
        return tf.concat(apart, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rising": self.rising}


@serializable
class ThresholdStep(_ByThreshold):
    r"""Fixed thresholds: y_{cn + k} = 1 where x_c > tau_{kc} and else 0.

    Deployment puts this in place of a 0/1 activation that float layers read. The comparison is that of
    `ThresholdCompare`; thresholds are chosen so that they are never equal to what is compared with them.

    Args:
        levels: n, the number of thresholds of each channel.
        oriented: multiply each channel by an `orientation` of +1 or -1 first, for activations that
            switch on as x falls.

    Input shape:
        (batch, ..., channels)

    Output shape:
        (batch, ..., channels * levels)
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        inputs = self.turned(inputs)
        return _interleave([tf.cast(inputs > tau, inputs.dtype) for tau in tf.unstack(self.tau)], inputs)


@serializable
class ChannelGather(keras.layers.Layer):
    """Picks channels in a given order.

    Args:
        channels: for each output channel, the index of the input channel that it is.

    Input shape:
        (batch, ..., channels)

    Output shape:
        (batch, ..., len(channels))
    """

    def __init__(self, channels: list[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = list(channels)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], len(self.channels)])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # A few runs of neighbouring channels become slices, which every runtime copies fast.
        starts = [0, *(1 + np.flatnonzero(np.diff(self.channels) != 1)), len(self.channels)]
        if len(starts) > 2 + len(self.channels) // 8:
            return tf.gather(inputs, self.channels, axis=-1)
        runs = [inputs[..., self.channels[a] : self.channels[b - 1] + 1] for a, b in itertools.pairwise(starts)]
        return runs[0] if len(runs) == 1 else tf.concat(runs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@serializable
class ConstantPad(keras.layers.Layer):
    """Puts a margin of one value around a tensor.

    Args:
        margins: (before, after) for each axis but the batch, channels included.
        value: the number that the margin is filled with.

    Input shape:
        (batch, ..., channels)

    Output shape:
        (batch, ..., channels), each axis longer by its margins
    """

    def __init__(self, margins: Any, value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.margins = [[int(before), int(after)] for before, after in margins]
        self.value = float(value)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        sizes = zip(input_shape[1:], self.margins, strict=True)
        return tf.TensorShape([input_shape[0], *(None if n is None else n + sum(m) for n, m in sizes)])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Without constant_values the graph has the operator Pad instead of PadV2, which converters know best.
        value = {"constant_values": tf.cast(self.value, inputs.dtype)} if self.value else {}
        return tf.pad(inputs, [[0, 0], *self.margins], **value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margins": self.margins, "value": self.value}
