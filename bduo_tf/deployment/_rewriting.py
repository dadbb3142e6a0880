"""The second pass of deployment: what is pending is folded into thresholds, and binary layers become +1/-1."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._kinds import TRAINING_ONLY, is_exactly
from bduo_tf.backend import keras, lq, tf
from bduo_tf.deployment import _moving, _padding
from bduo_tf.deployment._binary_layers import (
    PRODUCTS,
    SignedProducts,
    binary_kernel,
    has_binary_kernel,
    unsupported,
)
from bduo_tf.deployment._deployment import FloatLayer, Reader
from bduo_tf.deployment._inlining import Inliner
from bduo_tf.deployment._thresholds import least_on, thresholds
from bduo_tf.deployment._values import Activation, Binary, Bits, Value
from bduo_tf.layers import ChannelAffine, ChannelGather, ConstantPad, ThresholdCompare, ThresholdSplit, ThresholdStep
from bduo_tf.quantizers import is_sign, step_of

__all__ = ["Deployer"]


class Deployer(Inliner):
    """Walks a flat graph, putting off what batch norms, splits and activations do until a layer reads it."""

    def __init__(self) -> None:
        super().__init__()
        self._products = SignedProducts(self.unique_name)
        # What was already computed for another reader of the value.
        self._contents: dict[Value | Binary, Any] = {}
        self._compared: dict[Activation, Bits] = {}
        self._calls: dict[tuple[int, Value | Binary], Any] = {}
        self._readers_of: defaultdict[int, list[keras.layers.Layer | None]] = defaultdict(list)
        self.readers: list[Reader] = []
        self.floats: list[FloatLayer] = []

    def rewrite(self, model: keras.Model, name: str) -> keras.Model:
        for node in _graph.nodes(model):
            for tensor in node.keras_inputs:
                self._readers_of[id(tensor)].append(node.layer)
        for tensor in model.outputs:
            self._readers_of[id(tensor)].append(None)
        return super().rewrite(model, name)

    def is_value(self, x: Any) -> bool:
        return isinstance(x, (Value, Activation, Bits))

    def wrap(self, tensor: Any) -> Value:
        return Value(tensor)

    # What a value is, as a tensor.

    def unwrap(self, value: Value | Binary) -> Any:
        if isinstance(value, Value) and value.scale is None:
            return value.tensor
        if value not in self._contents:
            self._contents[value] = self._affine(value) if isinstance(value, Value) else self._as_float(value)
        return self._contents[value]

    def _affine(self, value: Value) -> Any:
        affine = ChannelAffine(value.copies, name=self.unique_name(value.name))
        content = affine(value.tensor)
        affine.set_weights(value.affine())
        return content

    def _as_float(self, value: Binary) -> Any:
        """1 and 0, or +1 and -1, for a layer that is not binary."""
        name = self.unique_name(f"{value.name}_{'sign' if value.signs else 'step'}")
        if value.signs:
            return lq.quantizers.SteSign(name=name)(self.in_order(self.compare(value)).tensor)
        if isinstance(value, Bits):  # on where -tensor > 0
            tensor, tau = self.in_order(value).tensor, np.zeros((len(value.order), 1))
            orientation = -np.ones(len(value.order))
        else:
            tensor, (orientation, tau) = value.source.tensor, self._thresholds(value)
        oriented = bool((orientation < 0).any())
        step = ThresholdStep(tau.shape[1], oriented=oriented, name=name)
        content = step(tensor)
        step.set_weights([tau.T, orientation] if oriented else [tau.T])
        return content

    def compare(self, value: Binary) -> Bits:
        """The activation as the sign of a tensor, the copies of all channels one after the other."""
        if isinstance(value, Bits):
            return value
        if value not in self._compared:
            source, channels = value.source, value.source.tensor.shape[-1]
            order = np.arange(channels * source.copies).reshape(channels, source.copies).T.ravel()
            if value.signs and source.scale is None and value.level == 0 and not value.strict:
                tensor = source.tensor  # its sign is the activation
            else:
                orientation, tau = self._thresholds(value)
                if value.signs and source.terms is None:  # of integers tau lies between those it may be
                    tau = least_on(tau)
                oriented = bool((orientation < 0).any())
                name = self.unique_name(f"{self.node.layer.name}_compare")
                compare = ThresholdCompare(source.copies, oriented=oriented, rising=value.signs, name=name)
                tensor = compare(self._copied(source.tensor) if source.shared else source.tensor)
                compare.set_weights([tau.T, orientation] if oriented else [tau.T])
            self._compared[value] = Bits(tensor, value.name, order, value.signs)
        return self._compared[value]

    def _copied(self, tensor: Any) -> Any:
        """The same numbers in memory of their own.

        TFLite of the version that LCE is built with subtracts in place, and where the shape was changed in between it
        does not see that other layers read the same memory.
        """
        name, shape = self.unique_name(f"{self.node.layer.name}_copy"), tuple(tensor.shape[1:])
        pixels = keras.layers.Reshape((1, -1, shape[-1]), name=self.unique_name(f"{name}_pixels"))(tensor)
        pixels = keras.layers.MaxPool2D(1, name=name)(pixels)
        return keras.layers.Reshape(shape, name=self.unique_name(f"{name}_shape"))(pixels)

    @staticmethod
    def _thresholds(value: Activation) -> tuple[np.ndarray, np.ndarray]:
        scale, offset = value.source.affine()
        source = value.source
        return thresholds(
            scale, offset, level=value.level, strict=value.strict, terms=source.terms, spacing=source.spacing
        )

    def in_order(self, bits: Bits) -> Bits:
        """The same with the tensor's channels in the activation's order."""
        if np.array_equal(bits.order, np.arange(len(bits.order))):
            return bits
        gather = ChannelGather(np.argsort(bits.order).tolist(), name=self.unique_name(f"{bits.name}_ordered"))
        return replace(bits, tensor=gather(bits.tensor), order=np.arange(len(bits.order)))

    # What becomes of a call.

    def convert(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if (coupled := _graph.coupled_inside(layer)) is not None:
            raise ValueError(
                f"to_lce_graph: the activation of layer {layer.name!r} is still coupled ({coupled[1].levels + 1} "
                "levels). Call bduo_tf.decouple(model) first, and fine-tune what it returns."
            )
        self._require_inference(layer, kwargs)
        if is_exactly(layer, TRAINING_ONLY) or _is_identity(layer):
            return args[0]
        if _is_binary(quantizer := _graph.activation_of(layer)):
            return self._activate(layer.name, quantizer, args[0])
        if _is_binary(quantizer := getattr(layer, "input_quantizer", None)):
            # The same call again is the same output again: converters merge equal operators.
            call = (id(layer), args[0])
            if call not in self._calls:
                self._calls[call] = self._read(layer, self._activate(layer.name, quantizer, args[0]), args, kwargs)
            return self._calls[call]
        values = self.values(args, kwargs)
        if any(isinstance(v, Binary) for v in values):
            if (moved := _moving.move(self, layer, args, kwargs)) is not None:
                return moved
            if getattr(layer, "input_quantizer", None) is None and is_exactly(layer, PRODUCTS):
                return self._read(layer, args[0], args, kwargs)
        if is_exactly(layer, PRODUCTS) and _is_binary(layer.activation):
            return self._activate(layer.name, layer.activation, self._linear(layer, args, kwargs))
        if len(values) == 1 and (folded := self.fold(layer, values[0])) is not None:
            return folded
        return self.copy_call(layer, args, kwargs)

    @staticmethod
    def _require_inference(layer: keras.layers.Layer, kwargs: dict[str, Any]) -> None:
        kinds = (keras.layers.BatchNormalization, *TRAINING_ONLY)
        if isinstance(layer, kinds) and kwargs.get("training") not in (None, False, 0):
            raise ValueError(
                f"to_lce_graph: layer {layer.name!r} ({type(layer).__name__}) is called with training=True, so that it "
                "acts at inference as in training. Build the model without that argument."
            )

    def _activate(self, name: str, quantizer: Any, value: Value | Binary) -> Binary:
        """The binary activation of a value by a step or a sign."""
        step = step_of(quantizer)
        if isinstance(value, (Activation, Bits)):
            if value.signs == (step is None):
                return value  # 0 and 1, or signs, stay what they are
            if isinstance(value, Activation) and value.signs:
                return replace(value, signs=False)
            value = Value(self.unwrap(value), value.name)
        if step is None:
            return Activation(value, name, level=0.0, strict=False, signs=True)
        return Activation(value, name, level=step.threshold, strict=step.strict, signs=False)

    def _linear(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value:
        """The output of a layer before its activation function."""
        if id(layer) not in self._clones:
            self._clones[id(layer)] = self.clone(layer, activation="linear")
            self._clones[id(layer)](self.unwrap(args[0]))
            self._clones[id(layer)].set_weights(_graph.latent_weights(layer))
        return self.copy_call(layer, args, kwargs)

    def _read(self, layer: keras.layers.Layer, value: Binary, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A layer with a kernel that reads a binary activation, its own or one of a layer before it."""
        own = getattr(layer, "input_quantizer", None)
        problem = unsupported(layer, tuple(self.node.keras_inputs[0].shape), value.signs)
        kernel = binary_kernel(layer) if hasattr(layer, "kernel") else None
        if not value.signs and (own is not None or kernel is not None):
            if problem:
                raise ValueError(
                    f"to_lce_graph: layer {layer.name!r} {problem}. Binary layers that can be deployed: QuantConv2D "
                    "and QuantConv1D (channels last, zero padding) and QuantDense. Use one of these, or let the layer "
                    "read float activations."
                )
            if kernel is None:
                raise ValueError(
                    f"to_lce_graph: layer {layer.name!r} has binary activations but float kernels, which LCE cannot "
                    "multiply. Train it with kernel_quantizer=bduo_tf.ScaledSign(), or leave its activation float."
                )
        if problem or kernel is None:
            if problem and has_binary_kernel(layer):
                self.floats.append(FloatLayer(layer.name, f"it {problem}", from_step=True))
            return self._copy(layer, args, kwargs, lost="")

        bits = self.compare(value)
        if all(reader.compared is not bits.tensor for reader in self.readers):
            [activation] = self.node.keras_inputs
            self.readers.append(Reader(layer.name, activation, own, bits.tensor, bits.order, bits.signs))
        result = self._products.product(layer, bits, kernel)
        result = replace(result, shared=self._is_shared(layer, result.tensor))
        if layer.activation is keras.activations.linear:
            return result
        if _is_binary(layer.activation):
            return self._activate(layer.name, layer.activation, result)
        result = replace(result, name=f"{layer.name}_affine")
        activation = keras.layers.Activation(layer.activation, name=self.unique_name(f"{layer.name}_activation"))
        return Value(activation(self.unwrap(result)))

    # What is put off.

    def fold(self, layer: keras.layers.Layer, value: Value | Binary) -> Value | Binary | None:
        """The output of a layer that can be put off or done before what is pending; None for all others."""
        if isinstance(value, Activation):
            # What keeps the order of numbers may be done to the numbers that the activation is of.
            if is_exactly(layer, (*_moving.MAX_POOLS, keras.layers.Flatten)):
                source = self._fold_monotone(layer, value.source)
                return None if source is None else replace(value, source=source)
            return None
        if isinstance(value, Bits):
            return None
        if is_exactly(layer, ThresholdSplit) and value.copies == 1:
            scale, offset = value.affine()
            theta = layer.get_weights()[0].astype(np.float64)
            scale = np.broadcast_to(scale, theta.shape)
            return replace(value, name=layer.name, scale=scale, offset=offset - theta)
        if is_exactly(layer, keras.layers.BatchNormalization) and self._by_channel(layer, value):
            folded = self._fold_norm(layer, value)
            at_once = value.scale is None and (self._is_fused_norm(value) or self._is_stream(value))
            return Value(self.unwrap(folded), layer.name, lost=value.lost) if at_once else folded
        return None if value.scale is None else self._fold_monotone(layer, value)

    def _is_fused_norm(self, value: Value) -> bool:
        """Whether TFLite will take the norm under conversion into the kernel of a float product before it."""
        producer = value.tensor._keras_history.layer
        binary = _is_binary(getattr(producer, "input_quantizer", None))
        alone = len(self._readers_of[id(self.node.keras_inputs[0])]) == 1
        return alone and _is_product(producer) and not binary and _is_linear(getattr(producer, "activation", None))

    def _is_stream(self, value: Value) -> bool:
        """Whether the norm under conversion is of floats and has to be computed as floats for some reader anyway."""
        readers = self._readers_of[id(tf.nest.flatten(self.node.outputs)[0])]
        return value.terms is None and len(readers) > 1 and any(map(_reads_floats, readers))

    @staticmethod
    def _by_channel(layer: keras.layers.BatchNormalization, value: Value) -> bool:
        axes = list(layer.axis) if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        return axes in ([-1], [len(value.tensor.shape) - 1]) and value.copies == 1

    @staticmethod
    def _fold_norm(layer: keras.layers.BatchNormalization, value: Value) -> Value:
        scale, offset = value.affine()
        mean, variance = (w.numpy().astype(np.float64) for w in (layer.moving_mean, layer.moving_variance))
        gamma = layer.gamma.numpy().astype(np.float64) if layer.scale else np.ones_like(mean)
        beta = layer.beta.numpy().astype(np.float64) if layer.center else np.zeros_like(mean)
        factor = (gamma / np.sqrt(variance + layer.epsilon))[:, None]
        return replace(
            value, name=layer.name, scale=scale * factor, offset=(offset - mean[:, None]) * factor + beta[:, None]
        )

    def _fold_monotone(self, layer: keras.layers.Layer, value: Value) -> Value | None:
        """A pool or a flattening, done before what is pending; None where that cannot be."""
        scale, offset = value.affine()
        if is_exactly(layer, keras.layers.Flatten):
            positions = value.tensor.shape[1:-1]
            if None in positions:
                return None
            tile = int(np.prod(positions, initial=1))
            flat = replace(value, tensor=self.clone(layer)(value.tensor))
            if value.scale is None:
                return flat
            return replace(flat, scale=np.tile(scale, (tile, 1)), offset=np.tile(offset, (tile, 1)))
        if not is_exactly(layer, _moving.MAX_POOLS) or layer.data_format != "channels_last":
            return None
        # A maximum of what grows with the tensor is that of the tensor's maximum.
        negative, tensor = scale[:, 0] < 0, value.tensor
        if negative.any():
            orientation = np.where(negative, -1.0, 1.0)[:, None]
            flip = ChannelAffine(name=self.unique_name(f"{layer.name}_orient"))
            tensor = flip(tensor)
            flip.set_weights([orientation, np.zeros_like(orientation)])
            scale = scale * orientation
        if value.scale is None:
            return replace(value, tensor=self.clone(layer)(tensor), name=layer.name)
        return replace(value, tensor=self.clone(layer)(tensor), name=layer.name, scale=scale, offset=offset)

    # What stays a float layer.

    def copy_call(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        values = self.values(args, kwargs)
        lost = next((_lost(layer, value) for value in values if _lost(layer, value)), "")
        for sub in layer._flatten_layers():
            if has_binary_kernel(sub):
                read = ", ".join(repr(tensor._keras_history.layer.name) for tensor in self.node.keras_inputs)
                inner = "" if sub is layer else f"it is inside of {layer.name!r} ({type(layer).__name__}), and "
                binary = getattr(getattr(sub, "input_quantizer", None), "precision", None) == 1
                reason = f"{inner}{lost or f'it reads the floats of {read}'}"
                self.floats.append(FloatLayer(sub.name, reason, from_step=bool(lost) or (binary and bool(inner))))
        if (margins := _padding.zero_margins(self.node)) is not None:
            [output] = tf.nest.flatten(self.node.outputs)
            readers = self._readers_of[id(output)]
            if len(readers) == 1 and readers[0] is not None:
                size = self.node.keras_inputs[0].shape[1:3]
                needed = _padding.margins_read(margins, tuple(size), readers[0])
                pad = ConstantPad((*needed, (0, 0)), name=self.unique_name(layer.name))
                return Value(pad(self.unwrap(values[0])), lost=lost)
        return self._copy(layer, args, kwargs, "" if _is_product(layer) else lost)

    def _copy(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any], lost: str) -> Any:
        outputs = self.call_copy(layer, args, kwargs)
        return tf.nest.map_structure(
            lambda tensor: Value(tensor, lost=lost, shared=self._is_shared(layer, tensor)), outputs
        )

    def _is_shared(self, layer: keras.layers.Layer, tensor: Any) -> bool:
        """Whether the output of `layer` is read more than once, and its shape is changed before or behind it.

        One-dimensional layers are two-dimensional ones between two such changes, which converters move about.
        """
        reshaped = is_exactly(layer, keras.layers.Reshape) or len(tensor.shape) < 4
        outputs = tf.nest.flatten(self.node.outputs)
        return reshaped and any(len(self._readers_of[id(output)]) > 1 for output in outputs)


def _is_binary(quantizer: Any) -> bool:
    """Whether a quantizer makes a binary activation."""
    return is_sign(quantizer) or step_of(quantizer) is not None


def _reads_floats(layer: keras.layers.Layer | None) -> bool:
    """Whether a layer, or an output of the model (None), needs numbers, not only how they compare with thresholds."""
    puts_off = (ThresholdSplit, keras.layers.BatchNormalization, keras.layers.Flatten, *_moving.MAX_POOLS)
    if layer is None:
        return True
    binary = _is_binary(_graph.activation_of(layer)) or _is_binary(getattr(layer, "input_quantizer", None))
    return not binary and not is_exactly(layer, (*puts_off, *TRAINING_ONLY))


def _is_linear(activation: Any) -> bool:
    return activation is None or activation is keras.activations.linear


def _is_identity(layer: keras.layers.Layer) -> bool:
    if is_exactly(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return getattr(layer, "symbol", "") in ("identity", "stop_gradient")


def _is_product(layer: keras.layers.Layer) -> bool:
    """Whether a layer multiplies by weights other than one a channel."""
    return any(len(weight.shape) >= 2 for weight in layer.weights)


def _lost(layer: keras.layers.Layer, value: Value | Binary) -> str:
    """How the output of a float layer stems from a binary activation, or "" if it does not."""
    if isinstance(value, Value):
        return value.lost
    return f"{layer.name!r} ({type(layer).__name__}) makes floats of the binary activation of {value.name!r}"
