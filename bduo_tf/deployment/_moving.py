"""Layers that move binary activations without changing them: the bits move, and stay bits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, tf
from bduo_tf.deployment._values import Binary, Bits
from bduo_tf.layers import ChannelAffine, ConstantPad

if TYPE_CHECKING:
    from bduo_tf.deployment._rewriting import Deployer

__all__ = ["MAX_POOLS", "move"]

# Layers that leave every channel where it is ...
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
# ... and layers and TensorFlow's operations that may move channels too.
_ANYWHERE = (keras.layers.Concatenate, keras.layers.Flatten, keras.layers.Permute, keras.layers.Reshape)
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


def move(deployer: "Deployer", layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The bits, nested as the outputs, of a layer that moves binary activations; None for any other layer."""
    values = deployer.values(args, kwargs)
    alike = all(isinstance(v, Binary) and v.signs == values[0].signs for v in values)
    if not alike or getattr(layer, "data_format", "channels_last") != "channels_last":
        return None
    if len(values) == 1 and (folded := deployer.fold(layer, values[0])) is not None:
        return folded
    name = values[0].name
    if is_exactly(layer, _ZERO_PADDING):
        # 1 stands for a 0/1 activation that is off; a sign is never 0.
        return None if values[0].signs else _pad(deployer, layer, deployer.compare(values[0]))
    if is_exactly(layer, MAX_POOLS):
        return _max(deployer, layer, deployer.compare(values[0]))
    if is_exactly(layer, _BY_CHANNEL) and getattr(layer, "interpolation", "nearest") == "nearest":
        bits = deployer.compare(values[0])
        return replace(bits, tensor=deployer.call_copy(layer, (bits.tensor,), {}))
    if is_exactly(layer, _ANYWHERE) or getattr(layer, "symbol", "") in _OPERATIONS:
        if any(tensor.shape[-1] is None for tensor in tf.nest.flatten(deployer.node.outputs)):
            return None
        return _move_anywhere(deployer, layer, args, kwargs, values[0].signs, name)
    return None


def _pad(deployer: "Deployer", layer: keras.layers.Layer, bits: Bits) -> Bits:
    margins = layer.padding if isinstance(layer.padding[0], Sequence) else [layer.padding]
    pad = ConstantPad([*margins, (0, 0)], 1.0, name=deployer.unique_name(layer.name))
    return replace(bits, tensor=pad(bits.tensor))


def _max(deployer: "Deployer", layer: keras.layers.Layer, bits: Bits) -> Bits:
    """The largest sign, or of 0/1 activations, which are on where the tensor is negative, the least number."""
    if bits.signs:
        return replace(bits, tensor=deployer.call_copy(layer, (bits.tensor,), {}))

    def negative(tensor: Any) -> Any:
        flip = ChannelAffine(name=deployer.unique_name(f"{layer.name}_negative"))
        output = flip(tensor)
        flip.set_weights([-np.ones((tensor.shape[-1], 1)), np.zeros((tensor.shape[-1], 1))])
        return output

    return replace(bits, tensor=negative(deployer.call_copy(layer, (negative(bits.tensor),), {})))


def _move_anywhere(
    deployer: "Deployer",
    layer: keras.layers.Layer,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    signs: bool,
    name: str,
) -> Any:
    def tensor(x: Any) -> Any:
        return deployer.in_order(deployer.compare(x)).tensor if deployer.is_value(x) else x

    args, kwargs = tf.nest.map_structure(tensor, args), tf.nest.map_structure(tensor, kwargs)
    outputs = deployer.call_copy(layer, args, kwargs)
    return tf.nest.map_structure(lambda t: Bits(t, name, np.arange(t.shape[-1]), signs), outputs)
