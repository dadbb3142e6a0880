"""Keras layers of BinaryDuo: the threshold split that decoupling inserts."""

from typing import Any

import numpy as np

from bduo_tf._keras import keras, tf

__all__ = ["ThresholdSplit"]


@keras.utils.register_keras_serializable("bduo_tf")
class ThresholdSplit(keras.layers.Layer):
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
        if isinstance(levels, bool) or int(levels) != levels or levels < 1:
            raise ValueError(f"ThresholdSplit: levels must be a positive integer, not {levels!r}.")
        super().__init__(**kwargs)
        self.levels = int(levels)

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels is None:
            raise ValueError(f"{self.name}: the number of channels must be known, got shape {input_shape}.")
        shifts = (2 * np.arange(1, self.levels + 1) - 1) / (2 * self.levels) - 0.5
        self.theta = self.add_weight(
            name="theta",
            shape=(channels, self.levels),
            initializer=lambda shape, dtype=None: tf.cast(tf.broadcast_to(shifts, shape), dtype),
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Half the time of subtracting with a broadcast inner axis, whose length is only `levels`.
        copies = tf.stack([inputs - theta for theta in tf.unstack(self.theta, axis=-1)], axis=-1)
        shape = [tf.shape(inputs)[i] if d is None else d for i, d in enumerate(inputs.shape)]
        return tf.reshape(copies, [*shape[:-1], shape[-1] * self.levels])

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        return tf.TensorShape([*input_shape[:-1], input_shape[-1] * self.levels])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
