"""Keras layers of BinaryDuo: the threshold split that decoupling inserts, and what deployment puts in its place."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from bduo_tf.backend import keras, serializable, tf

__all__ = [
    "ChannelAffine",
    "ChannelGather",
    "ChannelPad",
    "ConstantPad",
    "ThresholdCompare",
    "ThresholdSplit",
    "ThresholdStep",
]


class _ByCopy(keras.layers.Layer):
    """Base of the layers that make `levels` copies of every channel."""

    def __init__(self, levels: int = 1, **kwargs: Any) -> None:
        if isinstance(levels, bool) or int(levels) != levels or levels < 1:
            raise ValueError(f"{type(self).__name__}: levels must be a positive integer, not {levels!r}.")
        super().__init__(**kwargs)
        self.levels = int(levels)

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] is None:
            raise ValueError(f"{self.name}: the number of channels must be known, got shape {input_shape}.")
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], input_shape[-1] * self.levels])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}


def _interleave(copies: list[tf.Tensor], inputs: tf.Tensor) -> tf.Tensor:
    """Tensors of the shape of `inputs` as one, in which the copies of each channel lie side by side."""
    if len(copies) == 1:
        return copies[0]
    shape = [tf.shape(inputs)[i] if d is None else d for i, d in enumerate(inputs.shape)]
    return tf.reshape(tf.stack(copies, axis=-1), [*shape[:-1], shape[-1] * len(copies)])


# Of a number's bytes: an integer type of that size, and one of twice the size.
_INTEGERS = {2: (tf.uint16, tf.uint32), 4: (tf.uint32, tf.uint64)}


def _repeat(x: tf.Tensor, n: int, training: bool | None) -> tf.Tensor:
    """Each element n times, side by side along the last axis: (..., channels) becomes (..., channels * n).

    Two copies in training, the usual case and the one whose time counts, are two equal halves of an integer
    twice as wide. That is twice as fast as tf.tile and four times as a transposition, and keeps every value as it
    is, where a product with a matrix of zeros and ones would spread NaN and round on some devices. Elsewhere, as in
    exported graphs, the operations stay those that every runtime has.
    """
    if n == 1:
        return x
    shape = [tf.shape(x)[i] if d is None else d for i, d in enumerate(x.shape)]

    @tf.custom_gradient
    def _call(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        if training is True and n == 2 and x.dtype.size in _INTEGERS:
            half, whole = _INTEGERS[x.dtype.size]
            both = tf.constant(2 ** (8 * x.dtype.size) + 1, whole)
            copies = tf.bitcast(tf.cast(tf.bitcast(x, half), whole) * both, x.dtype)
        else:
            copies = tf.tile(tf.reshape(x, [-1, 1]), [1, n])

        def grad(dy: tf.Tensor) -> tf.Tensor:
            # A third of the time of tf.reduce_sum over so short an axis.
            rows = tf.reshape(dy, [-1, n])
            return tf.reshape(tf.add_n([rows[:, k] for k in range(n)]), shape)

        return tf.reshape(copies, [*shape[:-1], shape[-1] * n]), grad

    return _call(x)


@serializable
class ThresholdSplit(_ByCopy):
    r"""n shifted copies of every channel, each with a trainable threshold.

    \\[
    y_{cn + k} = x_c - \theta_{ck}, \qquad \theta_{ck} = t_{k+1} - \frac{1}{2}
    \text{ initially}, \quad t_k = \frac{2k - 1}{2n}
    \\]

    A binary step (threshold 1/2) of the copies is what a coupled step of n levels takes apart into:
    their mean over k is the coupled activation. The copies of a channel lie side by side, so that a
    kernel is widened by `np.repeat` along its input channels whatever its groups, and after a Flatten
    as before it.

    Args:
        levels: n, the number of copies, at least 1.

    Input shape:
        (batch, ..., channels)

    Output shape:
        (batch, ..., channels * levels)

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, section 4: ternary(x) = (binary(x - 1/4) + binary(x + 1/4)) / 2.
    """

    def __init__(self, levels: int = 2, **kwargs: Any) -> None:
        super().__init__(levels, **kwargs)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        shifts = (2 * np.arange(1, self.levels + 1) - 1) / (2 * self.levels) - 0.5
        self.theta = self.add_weight(
            name="theta",
            shape=(input_shape[-1], self.levels),
            initializer=lambda shape, dtype=None: tf.cast(tf.broadcast_to(shifts, shape), dtype),
        )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        # As a bias, whose gradient is the cheaper sum.
        return tf.nn.bias_add(_repeat(inputs, self.levels, training), -tf.reshape(self.theta, [-1]))


@serializable
class ChannelAffine(_ByCopy):
    r"""Fixed scales and offsets: y_{cn + k} = scale_{ck} x_c + offset_{ck}.

    What deployment makes of batch normalization where a float is needed: LCE takes the multiplication and
    the addition into the binary convolution before it.

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


class _ByThreshold(_ByCopy):
    """Base of the layers with fixed thresholds: tau of shape (levels, channels), and which way channels turn."""

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
        """The inputs, with channels that fall where the activation switches on turned round."""
        return inputs * self.orientation if self.oriented else inputs

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "oriented": self.oriented}


@serializable
class ThresholdCompare(_ByThreshold):
    r"""Fixed thresholds: y_{kC + c} = tau_{kc} - x_c for C channels, negative where the activation is on.

    The sign of y is the operand s = 1 - 2a of LCE's binary convolution. All channels of a copy lie
    together, because a concatenation is the cheapest way to write them.

    Args:
        levels: n, the number of thresholds of each channel.
        oriented: channels are multiplied by an `orientation` of +1 or -1 first, for activations that
            switch on as x falls.
        rising: y = x - tau instead, which is negative where the activation is off: for signs.

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

    What deployment makes of a 0/1 activation that float layers read. The comparison is that of
    `ThresholdCompare`, whose thresholds are never equal to what is compared with them.

    Args:
        levels: n, the number of thresholds of each channel.
        oriented: channels are multiplied by an `orientation` of +1 or -1 first, for activations that
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
class ChannelPad(keras.layers.Layer):
    """Channels of zeros behind the channels there are: the identity shortcut to a wider layer.

    Args:
        channels: how many there are in the end.

    Input shape:
        (batch, ..., at most `channels`)

    Output shape:
        (batch, ..., channels)

    Reference:
        He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, shortcut option A.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels

    def build(self, input_shape: Any) -> None:
        if input_shape[-1] is None or input_shape[-1] > self.channels:
            raise ValueError(f"{self.name}: cannot pad {input_shape[-1]} channels to {self.channels}.")
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], self.channels])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        rank = len(inputs.shape)
        return tf.pad(inputs, [[0, 0]] * (rank - 1) + [[0, self.channels - inputs.shape[-1]]])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@serializable
class ChannelGather(keras.layers.Layer):
    """Some of the channels, in a given order.

    Args:
        channels: index of each output channel among the input's.

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
        # Slices of neighbours where there are few, which every runtime copies fast.
        starts = [0, *(1 + np.flatnonzero(np.diff(self.channels) != 1)), len(self.channels)]
        if len(starts) > 2 + len(self.channels) // 8:
            return tf.gather(inputs, self.channels, axis=-1)
        runs = [inputs[..., self.channels[a] : self.channels[b - 1] + 1] for a, b in itertools.pairwise(starts)]
        return runs[0] if len(runs) == 1 else tf.concat(runs, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@serializable
class ConstantPad(keras.layers.Layer):
    """A margin of one value.

    Args:
        margins: (before, after) for each axis but the batch, channels included.
        value: of the margin.

    Input shape:
        (batch, ..., channels)

    Output shape:
        the same, each axis longer by its margins
    """

    def __init__(self, margins: Any, value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.margins = [[int(before), int(after)] for before, after in margins]
        self.value = float(value)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        sizes = zip(input_shape[1:], self.margins, strict=True)
        return tf.TensorShape([input_shape[0], *(None if n is None else n + sum(m) for n, m in sizes)])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Of zeros it is an operator of its own, which converters know best.
        value = {"constant_values": tf.cast(self.value, inputs.dtype)} if self.value else {}
        return tf.pad(inputs, [[0, 0], *self.margins], **value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "margins": self.margins, "value": self.value}
