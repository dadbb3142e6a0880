"""The fast way to perturb a coordinate: it changes one channel, until a layer mixes the channels.

A coordinate of a kernel, a bias or a batch norm belongs to one output channel of its layer. P perturbed
coordinates are therefore P output channels of one call, their kernels side by side, instead of P calls. Layers
that work on each channel alone (pool, batch norm, activation) are called once on all P channels. Behind the
activation most pairs of a sample and a perturbation are as without the perturbation, because an activation of
few levels rarely changes: they are left out, which is exact. For the others, the next layer's output is the old
one plus the change of the one channel times the kernel's slice for that channel. From there on each remaining
pair is a row of a batch.
"""

from typing import Any

import numpy as np

from bduo_tf.backend import keras, lq, tf
from bduo_tf.mismatch._calls import Call, Calls, latent, reads
from bduo_tf.quantizers import step_of

__all__ = ["ChannelRoute", "find_route"]

# Types are compared exactly: a subclass may compute something else.
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
    """Whether an activation or quantizer is known to work on each element alone."""
    known = function is None or function in _ACTIVATIONS or isinstance(function, _QUANTIZERS)
    return known or step_of(function) is not None


def _mixes(layer: keras.layers.Layer) -> bool:
    """Whether a layer multiplies all channels by a matrix or a convolution kernel, then activates each element."""
    if type(layer) in _CONVOLUTIONS:
        native = getattr(layer, "_is_native_padding", True)  # False where Larq pads with another value than 0
        plain = layer.groups == 1 and layer.data_format == "channels_last" and native
    else:
        plain = type(layer) in _DENSE
    return plain and _is_elementwise(layer.activation) and _is_elementwise(getattr(layer, "input_quantizer", None))


def _normalizes(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a batch norm of the last axis."""
    return type(layer) in _NORMS and list(layer.axis) == [layer.input_spec.ndim - 1]


def _is_by_channel(layer: keras.layers.Layer) -> bool:
    """Whether each output channel of a layer depends on the same input channel alone."""
    if isinstance(layer, keras.layers.Activation):
        return _is_elementwise(layer.activation)
    if isinstance(layer, lq.quantizers.Quantizer):
        return _is_elementwise(layer)
    return _normalizes(layer) or (
        type(layer) in _BY_CHANNEL and getattr(layer, "data_format", None) != "channels_first"
    )


def _quantized(layer: keras.layers.Layer, name: str, value: np.ndarray) -> np.ndarray:
    """The value of a weight after the quantizer that its layer has for it, if any."""
    quantizer = getattr(layer, f"{name}_quantizer", None)
    return value if quantizer is None else quantizer(tf.constant(value)).numpy()


def _weights(layer: keras.layers.Layer) -> dict[str, Any]:
    """The latent variables of a mixing or normalizing layer by name; their last axis is the output channels."""
    names = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    return {name: latent(v) for name in names if (v := getattr(layer, name, None)) is not None}


def _effective(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The weights of a mixing or normalizing layer as its forward pass sees them, by name."""
    return {name: _quantized(layer, name, v.numpy()) for name, v in _weights(layer).items()}


def _quantize_input(layer: keras.layers.Layer, x: tf.Tensor) -> tf.Tensor:
    quantizer = getattr(layer, "input_quantizer", None)
    return x if quantizer is None else quantizer(x)


def _call(layer: keras.layers.Layer, x: tf.Tensor, weights: dict[str, tf.Tensor]) -> tf.Tensor:
    """The output of a mixing or normalizing layer with other weights, which decide how many channels it has."""
    w = weights
    if "kernel" not in w:
        return tf.nn.batch_normalization(
            x, w["moving_mean"], w["moving_variance"], w.get("beta"), w.get("gamma"), layer.epsilon
        )
    x, kernel = _quantize_input(layer, x), w["kernel"]
    if type(layer) in _DENSE:
        y = tf.tensordot(x, kernel, 1)
    elif layer.padding == "valid" and x.shape[1:] == kernel.shape[:3]:
        # The kernel is as large as the input: a matrix product is 5 times faster than a convolution.
        y = tf.tensordot(x, kernel, 3)[:, None, None]
    else:
        y = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=layer.dilation_rate)
    return layer.activation(y + w["bias"] if "bias" in w else y)


def _from_one_channel(layer: keras.layers.Layer, x: tf.Tensor, kernels: tf.Tensor) -> tf.Tensor:
    """What one input channel adds to the output of a mixing layer; for each row it may be another channel.

    Args:
        layer: the layer.
        x: the channel, (rows, ...).
        kernels: the kernel's slice for that channel, (rows, kernel positions, output channels).

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


class ChannelRoute:
    """The calls by which the change of one output channel of a layer reaches the model's outputs.

    Args:
        owner: the only call of the layer that has the variable.
        name: the name of the variable in its layer, such as "kernel".
        by_channel: the calls behind it that work on each channel alone, in order.
        mixing: the call behind those, if its output is linear in its quantized input; else None.
        tail: all calls behind these.

    Attributes:
        front: the key of the tensor of which each perturbation changes one channel.
        kept: the keys of the tensors that must be known without perturbation.
    """

    def __init__(self, owner: Call, name: str, by_channel: list[Call], mixing: Call | None, tail: list[Call]) -> None:
        self.owner, self.name, self.by_channel, self.mixing, self.tail = owner, name, by_channel, mixing, tail
        self.front = (by_channel or [owner])[-1].outputs[0]
        self._read = {i for call in tail for i in call.inputs} - {i for call in tail for i in call.outputs}
        self.kept = {owner.inputs[0], self.front, *self._read, *(() if mixing is None else mixing.outputs)}
        # The layers behind are not perturbed, so that their weights need to be quantized only once.
        self._effective = {
            call.outputs: {k: tf.constant(v) for k, v in _effective(call.layer).items()}
            for call in (*tail, mixing)
            if call is not None and _mixes(call.layer)
        }
        if mixing is not None:
            kernel = self._effective[mixing.outputs]["kernel"]
            by_position = tf.reshape(kernel, [-1, *kernel.shape[-2:]])
            self._slices = tf.transpose(by_position, [1, 0, 2])  # (input channels, kernel positions, output channels)

    def columns(self, coordinates: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray] | None:
        """For each perturbation, the weights of the one output channel of the owner that it changes.

        Args:
            coordinates: (P,), flat indices into the variable.
            values: (P,), the new value of each coordinate.

        Returns:
            The weights as the forward pass sees them, by name, each (P, ...); None if a kernel quantizer changes
            other channels too.
        """
        layer = self.owner.layer
        weight = _weights(layer)[self.name].numpy()
        *position, channels = np.unravel_index(coordinates, weight.shape)
        columns = {name: np.moveaxis(w[..., channels], -1, 0) for name, w in _effective(layer).items()}
        changed = columns[self.name]
        if getattr(layer, f"{self.name}_quantizer", None) is None:
            changed[tuple([np.arange(len(values)), *position])] = values
            return columns
        before = _quantized(layer, self.name, weight)
        for p, (coordinate, value, channel) in enumerate(zip(coordinates, values, channels, strict=True)):
            perturbed = weight.copy()
            perturbed.flat[coordinate] = value
            after = _quantized(layer, self.name, perturbed)
            changed[p] = after[..., channel]
            after[..., channel] = before[..., channel]
            if not np.array_equal(after, before):
                return None
        return columns

    def norms(self, channels: np.ndarray) -> list[dict[str, np.ndarray]]:
        """For each call of `by_channel` the weights for these channels if it is a batch norm, else an empty dict."""
        return [{name: w[channels] for name, w in _effective(call.layer).items()} for call in self.by_channel]

    def changed_rows(
        self,
        known: dict[int, tf.Tensor],
        channels: tf.Tensor,
        columns: dict[str, tf.Tensor],
        norms: list[dict[str, tf.Tensor]],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Finds the pairs of sample and perturbation in which the perturbation changes an activation.

        Args:
            known: the tensors `kept`, each (samples, ...).
            channels: (P,), the output channel of the owner that each perturbation changes.
            columns: what the method `columns` returned.
            norms: what the method `norms` returned.

        Returns:
            rows: (rows, 2), the numbers of sample and perturbation.
            channel: (rows, ...), the changed channel; if a mixing call follows, the difference that the perturbation
                makes to the channel after that call's quantizer.
        """
        last = tf.nest.map_structure(lambda w: tf.transpose(w, [*range(1, w.shape.rank), 0]), columns)
        x = known[self.owner.inputs[0]]
        if _normalizes(self.owner.layer):
            x = tf.gather(x, channels, axis=-1)
        x = _call(self.owner.layer, x, last)
        for call, weights in zip(self.by_channel, norms, strict=True):
            x = _call(call.layer, x, weights) if weights else call.layer(x)
        before = known[self.front]
        if self.mixing is not None:
            x, before = (_quantize_input(self.mixing.layer, t) for t in (x, before))
        difference = x - tf.gather(before, channels, axis=-1)
        # NaN != 0 holds too, so that a row with NaN is kept and reported.
        changed = tf.reduce_any(difference != 0, axis=list(range(1, x.shape.rank - 1)))
        rows = tf.where(changed)
        channel = x if self.mixing is None else difference
        return rows, tf.gather_nd(tf.transpose(channel, [0, x.shape.rank - 1, *range(1, x.shape.rank - 1)]), rows)

    def row_tensors(
        self, known: dict[int, tf.Tensor], samples: tf.Tensor, channels: tf.Tensor, channel: tf.Tensor
    ) -> dict[int, tf.Tensor]:
        """Computes the tensors behind the changed channel.

        Args:
            known: the tensors `kept`, each (samples, ...).
            samples: (rows,), the sample of each row.
            channels: (rows,), the channel that changed in each row.
            channel: (rows, ...), what `changed_rows` returned.

        Returns:
            These tensors and those that they are computed from, by their keys, each (rows, ...).
        """
        tensors = {i: tf.gather(known[i], samples) for i in self._read & known.keys()}
        if self.mixing is not None:
            [output] = self.mixing.outputs
            change = _from_one_channel(self.mixing.layer, channel, tf.gather(self._slices, channels))
            tensors[output] = tf.gather(known[output], samples) + change
        else:
            before = tf.gather(known[self.front], samples)
            mask = tf.one_hot(channels, before.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
            mask = tf.reshape(mask, [-1, *[1] * (before.shape.rank - 2), before.shape[-1]])
            tensors[self.front] = tf.where(mask, channel[..., None], before)
        for call in self.tail:
            if call.outputs in self._effective:
                [x], [output] = call.inputs, call.outputs
                tensors[output] = _call(call.layer, tensors[x], self._effective[call.outputs])
            else:
                call(tensors)
        return tensors


def find_route(calls: Calls, affected: list[Call], variable: Any) -> ChannelRoute | None:
    """The route that changes of a variable take; None if the layer that has it is of another type or called twice.

    Args:
        calls: the calls of the model.
        affected: those that depend on the variable, in order.
        variable: the latent variable.
    """
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
    tail = [call for call in affected if id(call) not in front]
    return ChannelRoute(owner, names[0], by_channel, mixing, tail)
