"""Layers that move binary activations without changing them: the bits move, and stay bits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, tf
from bduo_tf.deployment._layers import ChannelAffine, ConstantPad
from bduo_tf.deployment._values import Binary, Bits

if TYPE_CHECKING:
    from bduo_tf.deployment._rewriting import Deployer

__all__ = ["MAX_POOLS", "move"]

# Layers that leave the order of the channels as it is, so that they can be applied to channels in any order.
_BY_CHANNEL = (
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.RepeatVector,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
)
_ZERO_PADDING = (keras.layers.ZeroPadding1D, keras.layers.ZeroPadding2D, keras.layers.ZeroPadding3D)
MAX_POOLS = (
    keras.layers.MaxPool1D,
    keras.layers.MaxPool2D,
    keras.layers.MaxPool3D,
    keras.layers.GlobalMaxPool1D,
    keras.layers.GlobalMaxPool2D,
    keras.layers.GlobalMaxPool3D,
)
# Layers that may move channels, so that these must be in the activation's order before.
_ANYWHERE = (keras.layers.Concatenate, keras.layers.Flatten, keras.layers.Permute, keras.layers.Reshape)
# The same of TensorFlow's operations, by the symbols that Keras gives to layers of them.
_OPERATIONS = {
    "__operators__.getitem",
    "compat.v1.gather",
    "compat.v1.squeeze",
    "compat.v1.transpose",
    "concat",
    "expand_dims",
    "gather",
    "image.flip_left_right",
    "image.flip_up_down",
    "nn.depth_to_space",
    "nn.space_to_depth",
    "repeat",
    "reshape",
    "reverse",
    "roll",
    "split",
    "squeeze",
    "stack",
    "tile",
    "transpose",
    "unstack",
}


def move(deployer: "Deployer", call: _graph.Call) -> Any:
    """Moves binary activations as a layer does that only moves them.

    Args:
        deployer: the rewriter of the graph.
        call: a call that reads at least one binary activation.

    Returns:
        The moved activations, nested as the outputs of the call; None for a layer that makes other numbers of them.
    """
    layer, values = call.layer, deployer.values(call.args, call.kwargs)
    first = values[0]
    alike = all(isinstance(v, Binary) and v.signs == first.signs for v in values)
    if not alike or getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    if len(values) == 1 and (folded := deployer.fold(call, first)) is not None:
        return folded
    if is_exactly(layer, _ZERO_PADDING):
        # A zero is a 0/1 activation that is off, but it is no sign.
        return None if first.signs else _pad(deployer, layer, deployer.tensors.bits(first))
    if is_exactly(layer, MAX_POOLS):
        return _max(deployer, layer, deployer.tensors.bits(first))
    if is_exactly(layer, _BY_CHANNEL) and getattr(layer, "interpolation", "nearest") == "nearest":
        bits = deployer.tensors.bits(first)
        return replace(bits, tensor=deployer.call_copy(layer, (bits.tensor,), {}))
    if is_exactly(layer, _ANYWHERE) or getattr(layer, "symbol", "") in _OPERATIONS:
        return None if any(tensor.shape[-1] is None for tensor in call.outputs) else _move_anywhere(deployer, call)
    return None


def _pad(deployer: "Deployer", layer: keras.layers.Layer, bits: Bits) -> Bits:
    """A margin of 0/1 activations that are off, where the sign tensor is positive."""
    margins = layer.padding if isinstance(layer.padding[0], Sequence) else [layer.padding]
    pad = ConstantPad([*margins, (0, 0)], 1.0, name=deployer.unique_name(layer.name))
    return replace(bits, tensor=pad(bits.tensor))


def _max(deployer: "Deployer", layer: keras.layers.Layer, bits: Bits) -> Bits:
    """A max pool of activations. 0/1 activations are on where the tensor is negative, so that its minimum is taken."""
    if bits.signs:
        return replace(bits, tensor=deployer.call_copy(layer, (bits.tensor,), {}))

    def negative(tensor: Any) -> Any:
        flip = ChannelAffine(name=deployer.unique_name(f"{layer.name}_negative"))
        output = flip(tensor)
        flip.set_weights([-np.ones((tensor.shape[-1], 1)), np.zeros((tensor.shape[-1], 1))])
        return output

    return replace(bits, tensor=negative(deployer.call_copy(layer, (negative(bits.tensor),), {})))


def _move_anywhere(deployer: "Deployer", call: _graph.Call) -> Any:
    """Makes the same call with the sign tensors in place of the activations, their channels in order."""
    first = deployer.values(call.args, call.kwargs)[0]

    def tensor(x: Any) -> Any:
        return deployer.tensors.in_order(deployer.tensors.bits(x)).tensor if deployer.is_value(x) else x

    args, kwargs = tf.nest.map_structure(tensor, call.args), tf.nest.map_structure(tensor, call.kwargs)
    outputs = deployer.call_copy(call.layer, args, kwargs)
    return tf.nest.map_structure(lambda t: Bits(t, first.name, np.arange(t.shape[-1]), first.signs), outputs)
