"""What users' models hold: the split that decoupling inserts, padding with channels, and an initializer that blurs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bduo_tf.backend import keras, serializable, tf

__all__ = ["BinomialBlur", "ChannelCopies", "ChannelPad", "ThresholdSplit"]


class ChannelCopies(keras.layers.Layer):
    """Base of the layers that make `levels` copies of every channel; a subclass says how the copies differ.

    Args:
        levels: the number of copies, at least 1.

    Raises:
        ValueError: `levels` is not a positive integer.
    """

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


# For a floating-point type by its size in bytes: the unsigned integer of the same size, and the one of twice the size.
_INTEGERS = {2: (tf.uint16, tf.uint32), 4: (tf.uint32, tf.uint64)}


def _repeat(x: tf.Tensor, n: int, training: bool | None) -> tf.Tensor:
    """Each element n times, side by side along the last axis: (..., channels) becomes (..., channels * n).

    Two copies in training are the usual case and the one whose time counts. There a value and its copy are written as
    the two equal halves of an integer twice as wide. That is twice as fast as tf.tile and four times as fast as a
    transposition, and it keeps every value as it is, where a product with a matrix of zeros and ones would spread NaN
    and round on some devices. Elsewhere, as in exported graphs, only operations are used that every runtime has.
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
            # Adding n slices takes a third of the time of tf.reduce_sum, which is slow over so short an axis.
            rows = tf.reshape(dy, [-1, n])
            return tf.reshape(tf.add_n([rows[:, k] for k in range(n)]), shape)

        return tf.reshape(copies, [*shape[:-1], shape[-1] * n]), grad

    return _call(x)


@serializable
class ThresholdSplit(ChannelCopies):
    r"""n shifted copies of every channel, each with a trainable threshold.

    \\[
    y_{cn + k} = x_c - \theta_{ck}, \qquad \theta_{ck} = t_{k+1} - \frac{1}{2}
    \text{ initially}, \quad t_k = \frac{2k - 1}{2n}
    \\]

    Decoupling replaces a coupled step of n levels by this layer and a binary step (threshold 1/2): the
    mean over k of the binary activations is the coupled activation. The copies of a channel lie side by
    side, so that a kernel is widened by `np.repeat` along its input channels, whatever its groups, and
    behind a Flatten as before it.

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
        # bias_add instead of a subtraction: its gradient for the thresholds is a cheaper sum.
        return tf.nn.bias_add(_repeat(inputs, self.levels, training), -tf.reshape(self.theta, [-1]))


@serializable
class ChannelPad(keras.layers.Layer):
    """Appends channels of zeros: the identity shortcut from a stream to a wider one.

    Args:
        channels: the number of channels of the output.

    Input shape:
        (batch, ..., channels of the input), no more than `channels`

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
class BinomialBlur(keras.initializers.Initializer):
    """Makes of a depthwise convolution a fixed low pass, which keeps what a stride of 2 would alias.

    Each channel gets the outer product of (1, 2, 1) with itself, or for another size of the binomial coefficients of
    that size, divided by its sum.

    Input shape:
        that of a depthwise kernel, (height, width, channels, multiplier)

    Reference:
        Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019.
    """

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> tf.Tensor:
        rows, columns = ([math.comb(n - 1, k) for k in range(n)] for n in shape[:2])
        blur = np.outer(rows, columns) / (sum(rows) * sum(columns))
        return tf.cast(tf.broadcast_to(blur[..., None, None], shape), dtype or tf.float32)
