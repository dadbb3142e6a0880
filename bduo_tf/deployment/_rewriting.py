"""The second pass of deployment: binary layers become +1/-1 convolutions, and what lies between them thresholds.

The pass puts off what batch norms, splits and activations do. What a layer reads at last decides the form in which it
is computed: a binary layer reads thresholds into which all of that is folded, a float layer reads floats.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._kinds import NOT_AT_INFERENCE, is_exactly
from bduo_tf.backend import keras, tf
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
from bduo_tf.deployment._layers import ChannelAffine, ConstantPad
from bduo_tf.deployment._tensors import Tensors
from bduo_tf.deployment._values import Activation, Binary, Bits, Value
from bduo_tf.layers import ThresholdSplit
from bduo_tf.quantizers import is_sign, step_of

__all__ = ["Deployer"]


class Deployer(Inliner):
    """Rewrites a flat graph of binary layers in +1/-1 arithmetic.

    Args:
        flat: the model that will be rewritten. Which layers read each of its tensors decides what can be put off.

    Attributes:
        tensors: computes the values that a layer reads.
        readers: the layers that read binary activations, as far as the graph was walked.
        floats: the layers with binary kernels that stay float layers, likewise.
    """

    def __init__(self, flat: keras.Model) -> None:
        super().__init__()
        self.tensors = Tensors(self.unique_name)
        self.readers: list[Reader] = []
        self.floats: list[FloatLayer] = []
        self._products = SignedProducts(self.unique_name)
        self._outputs: dict[tuple[int, Value | Binary], Any] = {}
        self._readers_of = _readers(flat)

    def is_value(self, x: Any) -> bool:
        return isinstance(x, (Value, Activation, Bits))

    def wrap(self, tensor: Any) -> Value:
        return Value(tensor)

    def unwrap(self, value: Value | Binary) -> Any:
        return self.tensors.floats(value)

    def convert(self, call: _graph.Call) -> Any:
        layer = call.layer
        if (coupled := _graph.coupled_inside(layer)) is not None:
            raise ValueError(
                f"to_lce_graph: the activation of layer {layer.name!r} is still coupled ({coupled[1].levels + 1} "
                "levels). Call bduo_tf.decouple(model) first, and fine-tune what it returns."
            )
        self._require_inference(call)
        if is_exactly(layer, NOT_AT_INFERENCE) or _is_identity(layer):
            return call.args[0]
        if _is_binary(quantizer := _graph.activation_of(layer)):
            return self._activate(layer.name, quantizer, call.args[0])
        if _is_binary(quantizer := getattr(layer, "input_quantizer", None)):
            # A shared layer that reads the same value again returns the same output: converters merge equal
            # operators, and then the number of binary layers in the file would differ from that in the graph.
            key = (id(layer), call.args[0])
            if key not in self._outputs:
                self._outputs[key] = self._read(call, self._activate(layer.name, quantizer, call.args[0]))
            return self._outputs[key]
        values = self.values(call.args, call.kwargs)
        if any(isinstance(v, Binary) for v in values):
            if (moved := _moving.move(self, call)) is not None:
                return moved
            if getattr(layer, "input_quantizer", None) is None and is_exactly(layer, PRODUCTS):
                return self._read(call, call.args[0])
        if is_exactly(layer, PRODUCTS) and _is_binary(layer.activation):
            return self._activate(layer.name, layer.activation, self.copy_call(call, activation="linear"))
        if len(values) == 1 and (folded := self.fold(call, values[0])) is not None:
            return folded
        return self.copy_call(call)

    @staticmethod
    def _require_inference(call: _graph.Call) -> None:
        kinds = (keras.layers.BatchNormalization, *NOT_AT_INFERENCE)
        if isinstance(call.layer, kinds) and call.kwargs.get("training") not in (None, False, 0):
            raise ValueError(
                f"to_lce_graph: layer {call.layer.name!r} ({type(call.layer).__name__}) is called with training=True, "
                "so that it acts at inference as in training. Build the model without that argument."
            )

    def _activate(self, name: str, quantizer: Any, value: Value | Binary) -> Binary:
        """The binary activation of a value.

        Args:
            name: the name of the layer that applies the quantizer.
            quantizer: a step or a sign.
            value: what it is applied to.
        """
        step = step_of(quantizer)
        if isinstance(value, (Activation, Bits)):
            if value.signs == (step is None):
                return value  # a step of 0 and 1 gives 0 and 1 again, and a sign of signs the signs
            if isinstance(value, Activation) and value.signs:
                return replace(value, signs=False)
            value = Value(self.unwrap(value), value.name)
        if step is None:
            return Activation(value, name, level=0.0, strict=False, signs=True)
        return Activation(value, name, level=step.threshold, strict=step.strict, signs=False)

    def _read(self, call: _graph.Call, value: Binary) -> Any:
        """The output of a layer with a kernel that reads a binary activation.

        Args:
            call: the call of the layer.
            value: the activation, made by the layer's own quantizer or by a layer before it.

        Raises:
            ValueError: a layer for 0/1 activations is of a kind that LCE cannot run, or its kernel is not binary.
        """
        layer = call.layer
        own = getattr(layer, "input_quantizer", None)
        problem = unsupported(layer, tuple(call.inputs[0].shape), value.signs)
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
            return self._copy(call, lost="")

        bits = self.tensors.bits(value)
        if all(reader.compared is not bits.tensor for reader in self.readers):
            [activation] = call.inputs
            self.readers.append(Reader(layer.name, activation, own, bits.tensor, bits.order, bits.signs))
        result = self._products.product(layer, bits, kernel)
        result = replace(result, shared=self._is_shared(call, result.tensor))
        if layer.activation is keras.activations.linear:
            return result
        if _is_binary(layer.activation):
            return self._activate(layer.name, layer.activation, result)
        result = replace(result, name=f"{layer.name}_affine")
        activation = keras.layers.Activation(layer.activation, name=self.unique_name(f"{layer.name}_activation"))
        return Value(activation(self.unwrap(result)))

    # Layers that are put off.

    def fold(self, call: _graph.Call, value: Value | Binary) -> Value | Binary | None:
        """Puts a layer off, or does it before what is already put off, where that gives the same output.

        Args:
            call: the call of the layer.
            value: the only value that it reads.

        Returns:
            Its output; None where it must be computed from the value's content.
        """
        layer = call.layer
        if isinstance(value, Activation):
            # An activation grows with the numbers that it is made of, so that the maximum can be taken of those.
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
        if is_exactly(layer, keras.layers.BatchNormalization):
            self._require_vector(layer, value)
            if self._by_channel(layer, value):
                folded = self._fold_norm(layer, value)
                at_once = value.scale is None and (self._is_fused_norm(call, value) or self._is_stream(call, value))
                return Value(self.unwrap(folded), layer.name, lost=value.lost) if at_once else folded
        return None if value.scale is None else self._fold_monotone(layer, value)

    def _is_fused_norm(self, call: _graph.Call, value: Value) -> bool:
        """Whether TFLite will take a batch norm into the kernel of the float convolution or dense layer before it."""
        producer = value.tensor._keras_history.layer
        binary = _is_binary(getattr(producer, "input_quantizer", None))
        alone = len(self._readers_of[id(call.inputs[0])]) == 1
        return alone and _is_product(producer) and not binary and _is_linear(getattr(producer, "activation", None))

    def _is_stream(self, call: _graph.Call, value: Value) -> bool:
        """Whether some reader of a batch norm of floats needs its output as floats, so that it is computed anyway."""
        readers = self._readers_of[id(call.outputs[0])]
        return value.terms is None and len(readers) > 1 and any(map(_reads_floats, readers))

    @staticmethod
    def _by_channel(layer: keras.layers.BatchNormalization, value: Value) -> bool:
        """Whether a batch norm has one scale for each channel, the last axis, of a value without copies."""
        return _axes(layer, value) == [len(value.tensor.shape) - 1] and value.copies == 1

    @staticmethod
    def _require_vector(layer: keras.layers.BatchNormalization, value: Value) -> None:
        """Raises an error if a batch norm has a scale for each channel and position of a binary layer's output."""
        # The convolution, or behind one that stands for a one-dimensional layer the change of the shape.
        products = (keras.layers.Conv2D, keras.layers.Reshape)
        from_product = value.terms is not None and isinstance(value.tensor._keras_history.layer, products)
        axes = _axes(layer, value)
        if from_product and len(axes) > 1 and len(value.tensor.shape) - 1 in axes:
            raise ValueError(
                f"to_lce_graph: layer {layer.name!r} (BatchNormalization) has a scale for each channel and position of "
                "the output of a binary layer. LCE's converter would take these scales into the binary layer, which "
                "can have one for each channel only. Normalize the channels alone (axis=-1)."
            )

    @staticmethod
    def _fold_norm(layer: keras.layers.BatchNormalization, value: Value) -> Value:
        """The output of a batch norm, its scale and offset put off."""
        scale, offset = value.affine()
        mean, variance = (w.numpy().astype(np.float64) for w in (layer.moving_mean, layer.moving_variance))
        gamma = layer.gamma.numpy().astype(np.float64) if layer.scale else np.ones_like(mean)
        beta = layer.beta.numpy().astype(np.float64) if layer.center else np.zeros_like(mean)
        factor = (gamma / np.sqrt(variance + layer.epsilon))[:, None]
        return replace(
            value, name=layer.name, scale=scale * factor, offset=(offset - mean[:, None]) * factor + beta[:, None]
        )

    def _fold_monotone(self, layer: keras.layers.Layer, value: Value) -> Value | None:
        """The output of a max pool or a Flatten, done before what is put off; None where that cannot be."""
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
        # max(s x + o) = s max(x) + o for s >= 0. Where s is negative, -x is pooled and -s put off instead.
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

    # Layers that stay float layers.

    def copy_call(self, call: _graph.Call, **changes: Any) -> Any:
        layer, values = call.layer, self.values(call.args, call.kwargs)
        lost = next((_lost(layer, value) for value in values if _lost(layer, value)), "")
        for sub in layer._flatten_layers():
            if has_binary_kernel(sub):
                read = ", ".join(repr(tensor._keras_history.layer.name) for tensor in call.inputs)
                inner = "" if sub is layer else f"it is inside of {layer.name!r} ({type(layer).__name__}), and "
                binary = getattr(getattr(sub, "input_quantizer", None), "precision", None) == 1
                reason = f"{inner}{lost or f'it reads the floats of {read}'}"
                self.floats.append(FloatLayer(sub.name, reason, from_step=bool(lost) or (binary and bool(inner))))
        if (margins := _padding.zero_margins(call)) is not None:
            readers = self._readers_of[id(call.outputs[0])]
            if len(readers) == 1 and readers[0] is not None:
                size = call.inputs[0].shape[1:3]
                needed = _padding.margins_read(margins, tuple(size), readers[0])
                pad = ConstantPad((*needed, (0, 0)), name=self.unique_name(layer.name))
                return Value(pad(self.unwrap(values[0])), lost=lost)
        return self._copy(call, "" if _is_product(layer) else lost, **changes)

    def _copy(self, call: _graph.Call, lost: str, **changes: Any) -> Any:
        """The values of the same call of a copy of the layer; for `lost` see `Value`."""
        outputs = self.call_copy(call.layer, call.args, call.kwargs, **changes)
        return tf.nest.map_structure(
            lambda tensor: Value(tensor, lost=lost, shared=self._is_shared(call, tensor)), outputs
        )

    def _is_shared(self, call: _graph.Call, tensor: Any) -> bool:
        """Whether an output of a call is read more than once, and its shape is changed before or behind it.

        One-dimensional layers are such a case: they become two-dimensional ones between two changes of the shape,
        which converters move about.
        """
        reshaped = is_exactly(call.layer, keras.layers.Reshape) or len(tensor.shape) < 4
        return reshaped and any(len(self._readers_of[id(output)]) > 1 for output in call.outputs)


def _readers(model: keras.Model) -> defaultdict[int, list[keras.layers.Layer | None]]:
    """For each tensor of a graph, by its id, the layers that read it; None stands for the outputs of the model."""
    readers: defaultdict[int, list[keras.layers.Layer | None]] = defaultdict(list)
    for node in _graph.nodes(model):
        for tensor in node.keras_inputs:
            readers[id(tensor)].append(node.layer)
    for tensor in model.outputs:
        readers[id(tensor)].append(None)
    return readers


def _axes(layer: keras.layers.BatchNormalization, value: Value) -> list[int]:
    """The axes for whose every place a batch norm has a scale of its own, counted from the front."""
    return [axis % len(value.tensor.shape) for axis in tf.nest.flatten(layer.axis)]


def _is_binary(quantizer: Any) -> bool:
    """Whether a quantizer makes a binary activation."""
    return is_sign(quantizer) or step_of(quantizer) is not None


def _reads_floats(layer: keras.layers.Layer | None) -> bool:
    """Whether a layer, or an output of the model (None), needs numbers, not only how they compare with thresholds."""
    puts_off = (ThresholdSplit, keras.layers.BatchNormalization, keras.layers.Flatten, *_moving.MAX_POOLS)
    if layer is None:
        return True
    binary = _is_binary(_graph.activation_of(layer)) or _is_binary(getattr(layer, "input_quantizer", None))
    return not binary and not is_exactly(layer, (*puts_off, *NOT_AT_INFERENCE))


def _is_linear(activation: Any) -> bool:
    return activation is None or activation is keras.activations.linear


def _is_identity(layer: keras.layers.Layer) -> bool:
    """Whether a layer passes its input on unchanged, in training too."""
    if is_exactly(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return getattr(layer, "symbol", "") in ("identity", "stop_gradient")


def _is_product(layer: keras.layers.Layer) -> bool:
    """Whether a layer multiplies by a matrix or a convolution kernel: weights beyond one for each channel."""
    return any(len(weight.shape) >= 2 for weight in layer.weights)


def _lost(layer: keras.layers.Layer, value: Value | Binary) -> str:
    """Says how the output of a float layer stems from a binary activation; "" if it does not."""
    if isinstance(value, Value):
        return value.lost
    return f"{layer.name!r} ({type(layer).__name__}) makes floats of the binary activation of {value.name!r}"
