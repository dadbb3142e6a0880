"""to_lce_graph(model): a binary network in, the same function in the +1/-1 arithmetic that LCE runs out."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._keras import keras, lq, tf
from bduo_tf.layers import ChannelAffine, ThresholdCompare, ThresholdSplit
from bduo_tf.quantizers import CoupledStep, Step, step_of

__all__ = ["Deployment", "Reader", "deploy", "flipped_activations", "to_lce_graph"]


def to_lce_graph(model: keras.Model) -> keras.Model:
    r"""The same function with every binary layer of 0/1 activations as a +1/-1 convolution for LCE.

    With a in {0, 1}, s = 1 - 2a (+1 where the activation is off) and a binary kernel W = alpha * w:

    \\[
    W * a = \frac{\alpha}{2} \left( (-w) * s + \sum w \right)
    \\]

    so that zero padding of a is the +1 padding of s, which LCE does for free. The convolution emitted has
    the kernel -w and yields integers of known parity. What follows it up to the next activation (batch
    normalization, threshold splits; max pools are kept) is folded in float64 into thresholds on those
    integers, each midway between two reachable ones, so that no tie can occur. Where floats are needed,
    scale and offset become one multiplication and addition, which LCE takes into the binary convolution.

    Args:
        model: a functional or built sequential model whose activations are binary: what `decouple`
            returns, or a baseline with `CoupledStep(1)`. It is not changed.

    Returns:
        A model of the same inputs and outputs for `larq_compute_engine.convert_keras_model`. Layers keep
        their names; nested models are inlined; dropout is gone. It is meant for inference only.

    Raises:
        ValueError: an activation is still coupled, a layer with binary activations has float kernels, or
            a binary layer is of a kind that LCE cannot run. The message names the layer and what to do.
    """
    return deploy(model).graph


def flipped_activations(model: keras.Model, images: Any) -> dict[str, tuple[int, int]]:
    """Counts the binary activations that differ between a model and its deployment graph, both in Keras.

    Args:
        model: a binary model, as `to_lce_graph` takes it.
        images: inputs, as the model takes them, few enough to be evaluated at once.

    Returns:
        What `Deployment.count_flips` returns.
    """
    deployment = deploy(model)
    if not deployment.readers:
        return {}
    return deployment.count_flips(images, np.asarray(deployment.probes()(images, training=False)))


@dataclass(frozen=True)
class Reader:
    """A layer that reads binary activations: the activations of the binary model, and what replaced them."""

    name: str
    activation: Any  # tensor of the binary model: what the step reads, or its 0 and 1
    step: Any  # the quantizer that is the step, None where the activation is 0 and 1 already
    compared: Any  # tensor of the deployment graph, negative where the activation is on
    copies: int


@dataclass(frozen=True)
class Deployment:
    """A binary model (its nested models inlined), its deployment graph, and what corresponds in them.

    Readers are in the order of the graph; layers that share an activation appear as the first of them.
    """

    binary: keras.Model
    graph: keras.Model
    readers: tuple[Reader, ...]

    def probes(self) -> keras.Model:
        """The deployment graph up to its binary activations: one output, (batch, all of them side by side)."""
        flat = [keras.layers.Flatten()(reader.compared) for reader in self.readers]
        return keras.Model(self.graph.inputs, flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat))

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
        model = keras.Model(self.binary.inputs, [reader.activation for reader in self.readers])
        activations = model(images, training=False)
        flips: dict[str, tuple[np.ndarray, int]] = {}
        start = 0
        for reader, x in zip(self.readers, tf.nest.flatten(activations), strict=True):
            x = np.asarray(x if reader.step is None else reader.step(x))
            size = x[0].size
            by_copy = probed[:, start : start + size].reshape(*x.shape[:-1], reader.copies, -1) < 0
            start += size
            differ = np.swapaxes(by_copy, -1, -2).reshape(x.shape) != (x >= 0.5)
            other, other_size = flips.get(reader.name, (0, 0))
            flips[reader.name] = (other + differ.reshape(len(x), -1).sum(axis=-1), other_size + size)
        return flips


def deploy(model: keras.Model) -> Deployment:
    """`to_lce_graph` with what corresponds in the two graphs; the same arguments and errors."""
    _graph.require_graph(model, "to_lce_graph")
    flat = _Inliner().rewrite(model, model.name)
    deployer = _Deployer()
    graph = deployer.rewrite(flat, f"{model.name}_lce")
    return Deployment(flat, graph, tuple(deployer.readers))


# Layers that do nothing at inference.
_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.ActivityRegularization,
)
_PRODUCTS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Dense)
_MAX_POOL = (keras.layers.MaxPool1D, keras.layers.MaxPool2D, keras.layers.MaxPool3D)


@dataclass(frozen=True, eq=False)
class _Value:
    """What is known of a tensor: the content is scale * tensor + offset, not computed before it is needed.

    scale and offset are float64 of shape (channels, copies); copy k of channel c is channel c * copies + k
    of the content. With `binary` the content is the binary step of that, 1 where it is at least 1/2 (`strict`:
    more than 1/2) and else 0. `terms` is set where the tensor is a sum of that many +1 and -1: an integer of
    the same parity, at most `terms` in size.
    """

    tensor: Any
    name: str = ""  # the layer that the content is the output of
    scale: np.ndarray | None = None
    offset: np.ndarray | None = None
    terms: int | None = None
    binary: bool = False
    strict: bool = False

    def affine(self) -> tuple[np.ndarray, np.ndarray]:
        """scale and offset, those of the identity where none is pending."""
        if self.scale is not None and self.offset is not None:
            return self.scale, self.offset
        channels = self.tensor.shape[-1]
        return np.ones((channels, 1)), np.zeros((channels, 1))

    @property
    def copies(self) -> int:
        return 1 if self.scale is None else self.scale.shape[1]


def _thresholds(value: _Value) -> tuple[np.ndarray, np.ndarray]:
    """Where the step of a value's content switches on, for the tensor with its channels oriented.

    Returns:
        orientation, shape (channels,), +1 or -1; and tau, float32 of shape (channels, copies): the step is on
        exactly where orientation * tensor > tau, and never equal to it where the tensor is an integer.
    """
    scale, offset = value.affine()
    # All copies of a channel have the same scale: copies differ in offset alone.
    orientation = np.where(scale[:, 0] < 0, -1.0, 1.0)
    size = np.abs(scale)
    on = np.greater if value.strict else np.greater_equal
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        switch = (0.5 - offset) / size  # on where orientation * tensor >= switch (strict: > switch)
    if value.terms is not None:
        k = value.terms
        switch = np.where(size > 0, np.clip(switch, -k - 2, k + 2), 0.0)
        first = -k + 2 * np.ceil((switch + k) / 2)  # the first reachable integer that is on
        # The division was rounded: let the condition itself decide between neighbours.
        first = np.where(on(size * (first - 2) + offset, 0.5), first - 2, first)
        first = np.where(on(size * first + offset, 0.5), first, first + 2)
        first = np.where(size > 0, first, np.where(on(offset, 0.5), -k, k + 2))
        return orientation, (np.clip(first, -k, k + 2) - 1).astype(np.float32)
    always, never = -1e30, 1e30
    switch = np.where(size > 0, switch, np.where(on(offset, 0.5), always, never))
    switch = np.clip(switch, always, never)
    rounded = switch.astype(np.float32)
    least_on = np.where(on(rounded, switch), rounded, np.nextafter(rounded, np.float32(np.inf)))
    tau = np.nextafter(least_on, np.float32(-np.inf))
    # Runtimes may flush subnormal numbers to zero.
    tiny = np.finfo(np.float32).tiny
    return orientation, np.where(np.abs(tau) < tiny, np.where(least_on > 0, 0, -tiny), tau).astype(np.float32)


def _binary_kernel(layer: keras.layers.Layer) -> tuple[np.ndarray, np.ndarray] | None:
    """The signs of a quantized kernel and one scale an output channel, or None for a kernel that is not binary."""
    kernel = _graph.quantized_kernel(layer).astype(np.float64)
    size = np.abs(kernel).reshape(-1, kernel.shape[-1])
    alpha = size.max(axis=0)
    if not np.all(size >= alpha * (1 - 1e-6)):
        return None
    return np.where(kernel < 0, -1.0, 1.0), alpha


class _Inliner(_graph.GraphRewriter[_Value]):
    """Copies a model, its nested models inlined."""

    caller = "to_lce_graph"

    def is_value(self, x: Any) -> bool:
        return isinstance(x, _Value)

    def wrap(self, tensor: Any) -> _Value:
        return _Value(tensor)

    def unwrap(self, value: _Value) -> Any:
        return value.tensor

    def clone(self, layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
        # Layers of several nested models, now side by side, may bear the same name.
        return super().clone(layer, **{"name": self.unique_name(layer.name), **changes})

    def convert(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _graph.is_graph(layer):
            return self.walk(layer, self.values(args, kwargs))
        return self.copy_call(layer, args, kwargs)


class _Deployer(_Inliner):
    """Walks a flat graph, putting off what batch norms, splits and steps do until a layer reads it."""

    def __init__(self) -> None:
        super().__init__()
        # What was already computed for another reader of the value.
        self._contents: dict[_Value, Any] = {}
        self._compares: dict[_Value, Any] = {}
        self._signed: dict[int, list[keras.layers.Layer]] = {}
        self.readers: list[Reader] = []

    def unwrap(self, value: _Value) -> Any:
        if value.scale is None and not value.binary:
            return value.tensor
        if value not in self._contents:
            scale, offset = value.affine()
            if value.binary:
                # The same step, with the same exact thresholds: sign * x - tau + 1/2 >= 1/2.
                orientation, tau = _thresholds(value)
                scale = np.broadcast_to(orientation[:, None], tau.shape)
                offset = 0.5 - np.nextafter(tau, np.float32(np.inf)) if value.terms is None else 0.5 - tau
            affine = ChannelAffine(value.copies, name=self.unique_name(value.name))
            content = affine(value.tensor)
            affine.set_weights([scale, offset])
            if value.binary:
                content = CoupledStep(1, name=self.unique_name(f"{value.name}_step"))(content)
            self._contents[value] = content
        return self._contents[value]

    def convert(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (coupled := _graph.coupled_inside(layer)) is not None:
            raise ValueError(
                f"to_lce_graph: the activation of layer {layer.name!r} is still coupled ({coupled[1].levels + 1} "
                "levels). Call bduo_tf.decouple(model) first, and fine-tune what it returns."
            )
        if isinstance(layer, _TRAINING_ONLY):
            return args[0]
        step = step_of(getattr(layer, "input_quantizer", None))
        if step is not None:
            return self._binary_layer(layer, self._step(layer, step, args[0]), must=True)
        values = self.values(args, kwargs)
        if len(values) != 1:
            return self.copy_call(layer, args, kwargs)
        return self._single_input(layer, values[0], args, kwargs)

    def _single_input(
        self, layer: keras.layers.Layer, value: _Value, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        step = step_of(_graph.activation_of(layer))
        if step is not None:
            return self._step(layer, step, value)
        quantizer = getattr(layer, "input_quantizer", None)  # not a step
        if isinstance(layer, ThresholdSplit) and value.copies == 1 and not value.binary:
            scale, offset = value.affine()
            theta = layer.get_weights()[0].astype(np.float64)
            scale = np.broadcast_to(scale, theta.shape)
            return replace(value, name=layer.name, scale=scale, offset=offset - theta)
        if isinstance(layer, keras.layers.BatchNormalization) and self._by_channel(layer, value):
            return self._fold_norm(layer, value)
        if isinstance(layer, _MAX_POOL) and value.scale is not None and layer.data_format == "channels_last":
            return self._pool(layer, value)
        if isinstance(layer, keras.layers.Flatten) and (value.scale is not None or value.binary):
            return self._flatten(layer, value)
        if value.binary and quantizer is None and isinstance(layer, _PRODUCTS):
            return self._binary_layer(layer, value, must=False)
        return self.copy_call(layer, args, kwargs)

    @staticmethod
    def _by_channel(layer: keras.layers.BatchNormalization, value: _Value) -> bool:
        axes = list(layer.axis) if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        return axes in ([-1], [len(value.tensor.shape) - 1]) and value.copies == 1 and not value.binary

    def _fold_norm(self, layer: keras.layers.BatchNormalization, value: _Value) -> _Value:
        scale, offset = value.affine()
        mean, variance = (w.numpy().astype(np.float64) for w in (layer.moving_mean, layer.moving_variance))
        gamma = layer.gamma.numpy().astype(np.float64) if layer.scale else np.ones_like(mean)
        beta = layer.beta.numpy().astype(np.float64) if layer.center else np.zeros_like(mean)
        factor = (gamma / np.sqrt(variance + layer.epsilon))[:, None]
        return replace(
            value, name=layer.name, scale=scale * factor, offset=(offset - mean[:, None]) * factor + beta[:, None]
        )

    def _pool(self, layer: keras.layers.Layer, value: _Value) -> _Value:
        """A maximum of what grows with the tensor is that of the tensor's maximum."""
        scale, offset = value.affine()
        negative = scale[:, 0] < 0
        tensor = value.tensor
        if negative.any():
            orientation = np.where(negative, -1.0, 1.0)[:, None]
            flip = ChannelAffine(name=self.unique_name(f"{layer.name}_orient"))
            tensor = flip(tensor)
            flip.set_weights([orientation, np.zeros_like(orientation)])
            scale = scale * orientation
        name = value.name if value.binary else layer.name
        return replace(value, tensor=self.clone(layer)(tensor), name=name, scale=scale, offset=offset)

    def _flatten(self, layer: keras.layers.Layer, value: _Value) -> _Value:
        scale, offset = value.affine()
        positions = value.tensor.shape[1:-1]
        if None in positions:
            return self.copy_call(layer, (value,), {})
        tile = int(np.prod(positions, initial=1))
        tensor = self.clone(layer)(value.tensor)
        return replace(value, tensor=tensor, scale=np.tile(scale, (tile, 1)), offset=np.tile(offset, (tile, 1)))

    def _step(self, layer: keras.layers.Layer, step: Step, value: _Value) -> _Value:
        if value.binary:  # 0 and 1 stay what they are
            return value
        scale, offset = value.affine()
        offset = offset + (0.5 - step.threshold)
        return replace(value, name=layer.name, scale=scale, offset=offset, binary=True, strict=step.strict)

    def _compare(self, layer: keras.layers.Layer, value: _Value) -> Any:
        """The tensor whose sign is s = 1 - 2a, the copies of all channels one after the other."""
        if value not in self._compares:
            orientation, tau = _thresholds(value)
            oriented = bool((orientation < 0).any())
            name = self.unique_name(f"{layer.name}_compare")
            compare = ThresholdCompare(value.copies, oriented=oriented, name=name)
            self._compares[value] = compare(value.tensor)
            [activation] = self.reading
            step = getattr(layer, "input_quantizer", None)
            self.readers.append(Reader(layer.name, activation, step, self._compares[value], value.copies))
            compare.set_weights([tau.T, orientation] if oriented else [tau.T])
        return self._compares[value]

    def _binary_layer(self, layer: keras.layers.Layer, value: _Value, *, must: bool) -> Any:
        """A convolution or dense layer of 0/1 activations; without `must`, float kernels stay float."""
        if not must and _binary_kernel(layer) is None:
            return self.copy_call(layer, (value,), {})
        self._require_supported(layer, value)
        binary = _binary_kernel(layer)
        if binary is None:
            raise ValueError(
                f"to_lce_graph: layer {layer.name!r} has binary activations but float kernels, which LCE cannot "
                "multiply. Train it with kernel_quantizer=bduo_tf.ScaledSign(), or leave its activation float."
            )
        sign, alpha = binary
        terms = int(np.prod(sign.shape[:-1]))
        total = sign.reshape(terms, -1).sum(axis=0)

        tensor = self._signed_product(layer, value, self._compare(layer, value), sign)
        bias = layer.bias.numpy().astype(np.float64) if layer.use_bias else 0.0
        result = _Value(tensor, layer.name, (alpha / 2)[:, None], (alpha / 2 * total + bias)[:, None], terms)
        if layer.activation is keras.activations.linear:
            return result
        result = replace(result, name=f"{layer.name}_affine")
        activation = keras.layers.Activation(layer.activation, name=self.unique_name(f"{layer.name}_activation"))
        return _Value(activation(self.unwrap(result)))

    def _signed_product(self, layer: keras.layers.Layer, value: _Value, tensor: Any, sign: np.ndarray) -> Any:
        """The sums of +1 and -1: two-dimensional convolutions, one a group, with the kernel -sign."""
        rank = len(tensor.shape)
        if getattr(layer, "padding", None) == "causal":
            # Zeros are of sign +1 to LCE, as activations that are off.
            margin = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
            tensor = keras.layers.ZeroPadding1D((margin, 0), name=self.unique_name(f"{layer.name}_pad"))(tensor)
        if rank < 4:
            pixels = (1, 1, tensor.shape[-1]) if rank == 2 else (1, -1, tensor.shape[-1])
            tensor = keras.layers.Reshape(pixels, name=self.unique_name(f"{layer.name}_pixels"))(tensor)
        groups = getattr(layer, "groups", 1)
        tensors = [tensor]
        if groups > 1:
            # All channels of a copy lie together, those of a group within them.
            parts = tf.split(tensor, value.copies * groups, axis=-1)
            tensors = [tf.concat(parts[g::groups], axis=-1) for g in range(groups)]

        convs = self._signed_convs(layer, groups, rank)
        outputs = [conv(x) for conv, x in zip(convs, tensors, strict=True)]
        kernel = sign.reshape(*[1] * (4 - sign.ndim), *sign.shape)
        channels = kernel.shape[-2] // value.copies
        by_copy = np.arange(channels * value.copies).reshape(channels, value.copies).T.ravel()
        for conv, part in zip(convs, np.split(-kernel[:, :, by_copy], groups, axis=-1), strict=True):
            conv.set_weights([part])
        tensor = outputs[0]
        if groups > 1:
            tensor = keras.layers.Concatenate(name=self.unique_name(f"{layer.name}_groups"))(outputs)
        if rank < 4:
            shape = (tensor.shape[-1],) if rank == 2 else (-1, tensor.shape[-1])
            tensor = keras.layers.Reshape(shape, name=self.unique_name(f"{layer.name}_units"))(tensor)
        return tensor

    def _signed_convs(self, layer: keras.layers.Layer, groups: int, rank: int) -> list[keras.layers.Layer]:
        """The layers in place of `layer`, one a group; the same ones for each call of it."""
        if id(layer) not in self._signed:
            options: dict[str, Any] = {"filters": layer.kernel.shape[-1] // groups, "kernel_size": 1}
            if not isinstance(layer, keras.layers.Dense):
                flat = (1,) * (4 - rank)  # the height of a one-dimensional convolution
                options |= {
                    "kernel_size": flat + layer.kernel_size,
                    "strides": layer.strides * (3 - len(layer.strides)),
                    "dilation_rate": flat + layer.dilation_rate,
                    "padding": "same" if layer.padding == "same" else "valid",
                    "pad_values": 1.0 if layer.padding == "same" else 0.0,
                }
            self._signed[id(layer)] = [
                lq.layers.QuantConv2D(
                    **options,
                    use_bias=False,
                    input_quantizer=lq.quantizers.SteSign(),
                    kernel_quantizer=lq.quantizers.SteSign(),
                    name=self.unique_name(layer.name),
                )
                for _ in range(groups)
            ]
        return self._signed[id(layer)]

    @staticmethod
    def _require_supported(layer: keras.layers.Layer, value: _Value) -> None:
        kind = type(layer).__name__
        conv = isinstance(layer, (keras.layers.Conv1D, keras.layers.Conv2D))
        transposed = isinstance(layer, (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose))
        problem = None
        if transposed or not (conv or isinstance(layer, keras.layers.Dense)):
            problem = f"is a {kind}, which LCE cannot run on binary activations"
        elif len(value.tensor.shape) > 4:
            problem = f"reads a tensor of shape {value.tensor.shape}"
        elif conv and layer.data_format != "channels_last":
            problem = "has its channels first"
        elif conv and layer.padding in ("same", "causal") and getattr(layer, "pad_values", 0.0) != 0.0:
            problem = f"pads its activations with {layer.pad_values}"
        if problem:
            raise ValueError(
                f"to_lce_graph: layer {layer.name!r} {problem}. Binary layers that can be deployed: QuantConv2D and "
                "QuantConv1D (channels last, zero padding) and QuantDense. Use one of these, or let the layer read "
                "float activations."
            )
