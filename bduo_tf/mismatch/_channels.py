"""The fast way to perturb a coordinate: what it changes is one channel, until a layer mixes the channels.

A coordinate of a kernel, a bias or a batch norm belongs to one output channel of its layer. P perturbed
coordinates are therefore P output channels of one call (their kernels side by side), not P calls. What works
on each channel alone (pool, batch norm, activation) is called once on all of them. Behind the activation most
samples are as they were, because an activation of few levels rarely moves: those are dropped, which is exact.
For the others, the next layer's output is the old one plus the kernel's slice times the change of the one
channel. From there on each pair of a sample and a perturbation is a row of a batch.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bduo_tf._keras import keras, lq, tf
from bduo_tf.mismatch._calls import Call, Calls, latent, reads, run
from bduo_tf.quantizers import step_of

__all__ = ["ChannelRoute", "find_route"]

# Exact types: a subclass may do something else in its call.
_CONVOLUTIONS = (keras.layers.Conv2D, lq.layers.QuantConv2D)
_DENSE = (keras.layers.Dense, lq.layers.QuantDense)
_NORMS = (keras.layers.BatchNormalization,)
_BY_CHANNEL = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.MaxPool2D,
    keras.layers.AveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
)
_ACTIVATIONS = (keras.activations.linear, keras.activations.relu, keras.activations.tanh, keras.activations.sigmoid)
_QUANTIZERS = (lq.quantizers.SteSign, lq.quantizers.ApproxSign, lq.quantizers.SwishSign)


def _is_elementwise(function: Any) -> bool:
    known = function is None or function in _ACTIVATIONS or isinstance(function, _QUANTIZERS)
    return known or step_of(function) is not None


def _mixes(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a matrix or convolution kernel over all channels, then an element-wise activation."""
    if type(layer) in _CONVOLUTIONS:
        native = getattr(layer, "_is_native_padding", True)  # Larq's own padding with another value than 0
        plain = layer.groups == 1 and layer.data_format == "channels_last" and native
    else:
        plain = type(layer) in _DENSE
    return plain and _is_elementwise(layer.activation) and _is_elementwise(getattr(layer, "input_quantizer", None))


def _normalizes(layer: keras.layers.Layer) -> bool:
    return type(layer) in _NORMS and list(layer.axis) == [layer.input_spec.ndim - 1]


def _is_by_channel(layer: keras.layers.Layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return _is_elementwise(layer.activation)
    if isinstance(layer, lq.quantizers.Quantizer):
        return _is_elementwise(layer)
    return _normalizes(layer) or (
        type(layer) in _BY_CHANNEL and getattr(layer, "data_format", None) != "channels_first"
    )


def _quantized(layer: keras.layers.Layer, name: str, value: np.ndarray) -> np.ndarray:
    """A weight as the forward pass of its layer sees it."""
    quantizer = getattr(layer, f"{name}_quantizer", None)
    return value if quantizer is None else quantizer(tf.constant(value)).numpy()


def _weights(layer: keras.layers.Layer) -> dict[str, Any]:
    """The variables of a mixing or normalizing layer by name, output channels last."""
    names = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    return {name: latent(v) for name in names if (v := getattr(layer, name, None)) is not None}


def _columns(layer: keras.layers.Layer, channels: np.ndarray) -> dict[str, np.ndarray]:
    """The effective weights of some output channels, side by side."""
    return {name: _quantized(layer, name, v.numpy())[..., channels] for name, v in _weights(layer).items()}


def _quantize_input(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    quantizer = getattr(layer, "input_quantizer", None)
    return x if quantizer is None else quantizer(x)


def _call_columns(layer: keras.layers.Layer, x: tf.Tensor, columns: dict[str, tf.Tensor]) -> tf.Tensor:
    """A layer whose output channels are the columns: (samples, ..., P)."""
    if "kernel" not in columns:
        c = columns
        return tf.nn.batch_normalization(
            x, c["moving_mean"], c["moving_variance"], c.get("beta"), c.get("gamma"), layer.epsilon
        )
    x, kernel = _quantize_input(layer, x), columns["kernel"]
    if kernel.shape.rank == 2:
        y = tf.tensordot(x, kernel, 1)
    else:
        y = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
    return layer.activation(y + columns["bias"] if "bias" in columns else y)


def _from_one_channel(layer: keras.layers.Layer, x: tf.Tensor, kernels: tf.Tensor) -> tf.Tensor:
    """What one input channel adds to a layer's output, each row with its own channel's slice of the kernel.

    Args:
        x: (rows, ...), the channel.
        kernels: (rows, kernel positions, output channels).

    Returns:
        (rows, ..., output channels)
    """
    if type(layer) in _DENSE:
        shape = tf.shape(x)
        product = tf.reshape(x, [shape[0], -1, 1]) * kernels
        return tf.reshape(product, tf.concat([shape, tf.shape(kernels)[-1:]], 0))
    height, width = layer.kernel_size
    ones = tf.eye(height * width, dtype=x.dtype)
    patches = tf.nn.conv2d(
        x[..., None],
        tf.reshape(ones, [height, width, 1, height * width]),
        layer.strides,
        layer.padding.upper(),
        dilations=layer.dilation_rate,
    )
    shape = tf.shape(patches)
    product = tf.reshape(patches, [shape[0], shape[1] * shape[2], height * width]) @ kernels
    return tf.reshape(product, [shape[0], shape[1], shape[2], layer.filters])


@dataclass(frozen=True)
class ChannelRoute:
    """How the change of one output channel of a layer reaches the model's outputs.

    Attributes:
        owner: the only call of the layer that has the variable.
        name: of the variable in its layer.
        by_channel: the calls behind it that work on each channel alone, in order.
        mixing: the call behind those, if it is linear in the channel.
        tail: all calls behind.
    """

    owner: Call
    name: str
    by_channel: tuple[Call, ...]
    mixing: Call | None
    tail: tuple[Call, ...]

    @property
    def front(self) -> int:
        """The tensor of which the perturbations change one channel each."""
        return (self.by_channel or (self.owner,))[-1].outputs[0]

    @property
    def kept(self) -> set[int]:
        """The tensors that must be known without perturbation."""
        behind = set() if self.mixing is None else set(self.mixing.outputs)
        written = {self.front, *behind, *(i for call in self.tail for i in call.outputs)}
        read = {i for call in self.tail for i in call.inputs}
        return {self.owner.inputs[0], self.front} | behind | (read - written)

    def columns(self, coordinates: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray] | None:
        """The effective weights of the owner's channels that perturbations change, side by side.

        Args:
            coordinates: (P,), flat indices into the variable.
            values: (P,), what is put there, one a perturbation.

        Returns:
            (..., P) by name; None if a kernel quantizer carries a change to other channels.
        """
        layer, p = self.owner.layer, np.arange(len(coordinates))
        weight = _weights(layer)[self.name].numpy()
        index = np.unravel_index(coordinates, weight.shape)
        columns = _columns(layer, index[-1])
        if getattr(layer, f"{self.name}_quantizer", None) is None:
            columns[self.name][tuple(index[:-1]) + (p,)] = values
            return columns
        before = _quantized(layer, self.name, weight)
        for i, (coordinate, value) in enumerate(zip(coordinates, values, strict=True)):
            changed = weight.copy()
            changed.flat[coordinate] = value
            after, channel = _quantized(layer, self.name, changed), index[-1][i]
            columns[self.name][..., i] = after[..., channel]
            after[..., channel] = before[..., channel]
            if not np.array_equal(after, before):
                return None
        return columns

    def by_channel_columns(self, channels: np.ndarray) -> list[dict[str, np.ndarray]]:
        """The weights of the batch norms among `by_channel`, for the channels."""
        return [_columns(call.layer, channels) for call in self.by_channel]

    def mixing_kernels(self) -> np.ndarray:
        """The kernel behind, (input channels, kernel positions, output channels)."""
        if self.mixing is None:
            return np.zeros((0, 0, 0), np.float32)
        kernel = _columns(self.mixing.layer, np.arange(_weights(self.mixing.layer)["kernel"].shape[-1]))["kernel"]
        return np.moveaxis(kernel.reshape(-1, *kernel.shape[-2:]), 1, 0)

    def changed_rows(
        self,
        known: dict[int, tf.Tensor],
        channels: tf.Tensor,
        columns: dict[str, tf.Tensor],
        by_channel: list[dict[str, tf.Tensor]],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The pairs of sample and perturbation whose activation is another one.

        Returns:
            rows: (rows, 2), sample and perturbation.
            channel: (rows, ...): the changed channel, or if a mixing call follows its quantized difference.
        """
        x = _call_columns(self.owner.layer, known[self.owner.inputs[0]], columns)
        for call, weights in zip(self.by_channel, by_channel, strict=True):
            x = _call_columns(call.layer, x, weights) if weights else call.layer(x)
        before = known[self.front]
        if self.mixing is not None:
            x, before = (_quantize_input(self.mixing.layer, t) for t in (x, before))
        difference = x - tf.gather(before, channels, axis=-1)
        # NaN differs too.
        changed = tf.reduce_any(difference != 0, axis=list(range(1, x.shape.rank - 1)))
        rows = tf.where(changed)
        picked = x if self.mixing is None else difference
        perturbation_second = tf.transpose(picked, [0, x.shape.rank - 1, *range(1, x.shape.rank - 1)])
        return rows, tf.gather_nd(perturbation_second, rows)

    def row_outputs(
        self,
        known: dict[int, tf.Tensor],
        kernels: tf.Tensor,
        samples: tf.Tensor,
        channels: tf.Tensor,
        values: tf.Tensor,
    ) -> dict[int, tf.Tensor]:
        """The tensors behind the changed channel, one row each for `samples`, `channels` and `values`."""
        read = {i for call in self.tail for i in call.inputs}
        environment = {i: tf.gather(t, samples) for i, t in known.items() if i in read}
        if self.mixing is not None:
            [output] = self.mixing.outputs
            change = _from_one_channel(self.mixing.layer, values, tf.gather(kernels, channels))
            environment[output] = tf.gather(known[output], samples) + change
        else:
            before = tf.gather(known[self.front], samples)
            mask = tf.one_hot(channels, before.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
            mask = tf.reshape(mask, [-1, *[1] * (before.shape.rank - 2), before.shape[-1]])
            environment[self.front] = tf.where(mask, values[..., None], before)
        return run(self.tail, environment)


def find_route(calls: Calls, affected: list[Call], variable: Any) -> ChannelRoute | None:
    """The route of a variable's coordinates; None if the layer is of another type or is called twice."""
    readers = [call for call in affected if reads(call.layer, variable)]
    if len(readers) != 1:
        return None
    [owner] = readers
    names = [name for name, v in _weights(owner.layer).items() if v is variable]
    if not names or not (_mixes(owner.layer) or _normalizes(owner.layer)):
        return None
    results = set(tf.nest.flatten(calls.outputs))

    def only_reader(slot: int) -> Call | None:
        found = [call for call in affected if slot in call.inputs]
        return found[0] if len(found) == 1 and slot not in results and len(found[0].inputs) == 1 else None

    by_channel: list[Call] = []
    following = only_reader(owner.outputs[0])
    while following is not None and _is_by_channel(following.layer):
        by_channel.append(following)
        following = only_reader(following.outputs[0])
    linear = (
        following is not None and _mixes(following.layer) and following.layer.activation is keras.activations.linear
    )
    mixing = following if linear else None
    front = {id(call) for call in (owner, *by_channel, mixing)}
    tail = tuple(call for call in affected if id(call) not in front)
    return ChannelRoute(owner, names[0], tuple(by_channel), mixing, tail)
