"""What copies of channels mean for one layer: where they pass through, and how kernels are repeated to read them.

Decoupling takes each channel c of a coupled activation apart into copies[c] channels side by side. `copies` is
therefore an array of ints, one for each channel of the original tensor; 1 stands for a channel that was not taken
apart. These are the rules for single layers; `decoupling.py` applies them to a graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._kinds import TRAINING_ONLY, is_exactly
from bduo_tf.backend import keras, lq, tf
from bduo_tf.quantizers import ScaledQuantizer

__all__ = ["SEPARABLE", "TRANSPOSED", "copies_through", "has_widenable_kernel", "widened", "widened_shape"]

# Layers whose output channel c depends on input channel c alone, in a way that treats the copies of a
# 0/1 activation as it treats the activation: linear, or a maximum of values that grow with the same x.
_BY_CHANNEL = (
    keras.layers.MaxPool1D,
    keras.layers.MaxPool2D,
    keras.layers.MaxPool3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalMaxPool1D,
    keras.layers.GlobalMaxPool2D,
    keras.layers.GlobalMaxPool3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
    *TRAINING_ONLY,
)

TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_KERNEL = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)


def copies_through(
    layer: keras.layers.Layer, shapes: Sequence[Any], copies: Sequence[np.ndarray | None]
) -> np.ndarray | None:
    """The copies of channels behind a layer without kernel that reads copies.

    Args:
        layer: the layer.
        shapes: the shape of each tensor that it reads, as it is after widening.
        copies: the copies in each of these tensors; None for a tensor that was not widened.

    Returns:
        The copies in its output; None if the layer does anything with them that would change the function.
    """
    if getattr(layer, "data_format", None) == "channels_first":
        return None
    if is_exactly(layer, keras.layers.Concatenate) and layer.axis in (-1, len(shapes[0]) - 1):
        parts = zip(shapes, copies, strict=True)
        return np.concatenate([np.ones(shape[-1], int) if known is None else known for shape, known in parts])
    first = copies[0]
    if first is None:
        return None
    if is_exactly(layer, keras.layers.Flatten):
        positions = shapes[0][1:-1]
        return None if None in positions else np.tile(first, int(np.prod(positions, initial=1)))
    linear = is_exactly(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
    keeps_channels = is_exactly(layer, keras.layers.Reshape) and layer.target_shape[-1] == len(first)
    return first if is_exactly(layer, _BY_CHANNEL) or linear or keeps_channels else None


def widened_shape(layer: keras.layers.Layer, copies: np.ndarray) -> dict[str, Any]:
    """The changes in the configuration of a layer without kernel where it states the number of channels."""
    if is_exactly(layer, keras.layers.Reshape):
        return {"target_shape": (*layer.target_shape[:-1], int(copies.sum()))}
    dropout = (keras.layers.AlphaDropout, keras.layers.Dropout)
    if is_exactly(layer, dropout) and layer.noise_shape and layer.noise_shape[-1] not in (None, 1):
        return {"noise_shape": (*layer.noise_shape[:-1], int(copies.sum()))}
    return {}


@dataclass(frozen=True)
class _Kernel:
    """A weight of a layer that is repeated along its input channels when these are taken apart.

    Attributes:
        name: the layer's attribute that holds the weight.
        axis: the axis of the input channels.
        divided: whether the layer's product with this weight sums over the copies of a channel, so that each copy
            must have one n-th of the weight.
        multiplier: how many channels along `axis` belong to each input channel of the layer.
    """

    name: str
    axis: int = -2
    divided: bool = True
    multiplier: int = 1

    @property
    def quantizer(self) -> str:
        """The layer's attribute that holds the quantizer of this weight."""
        return f"{self.name.removesuffix('_kernel')}_quantizer"

    def repeat(self, weight: np.ndarray, copies: np.ndarray) -> np.ndarray:
        """`weight` for an input that has copies[c] copies of each channel c."""
        channels = np.arange(len(copies) * self.multiplier).reshape(len(copies), self.multiplier)
        repeated = np.take(weight, np.repeat(channels, copies, axis=0).ravel(), axis=self.axis)
        if not self.divided:
            return repeated
        shape = [1] * weight.ndim
        shape[self.axis] = -1
        return repeated / np.repeat(copies, copies * self.multiplier).reshape(shape).astype(weight.dtype)


def _kernels(layer: keras.layers.Layer) -> tuple[_Kernel, ...]:
    """The weights of `layer` that must be repeated; none if the layer is of a kind that cannot be widened."""
    if is_exactly(layer, TRANSPOSED):
        return (_Kernel("kernel", axis=-1),)
    if is_exactly(layer, _KERNEL):
        return (_Kernel("kernel"),)
    if is_exactly(layer, SEPARABLE):
        # No activation stands between its two kernels: the second one sums the depthwise products of the copies.
        pointwise = _Kernel("pointwise_kernel", divided=False, multiplier=layer.depth_multiplier)
        return (_Kernel("depthwise_kernel"), pointwise)
    return ()


def has_widenable_kernel(layer: keras.layers.Layer) -> bool:
    """Whether a layer has a kernel that can be repeated to read copies of its input channels."""
    return bool(_kernels(layer)) and getattr(layer, "data_format", None) != "channels_first"


def widened(layer: keras.layers.Layer, copies: np.ndarray) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Makes a layer with a kernel read copies of its input channels.

    Args:
        layer: a layer for which `has_widenable_kernel` holds.
        copies: how many copies of each input channel it is to read.

    Returns:
        Its new weights in Keras' order, and the changes in its configuration.

    Raises:
        ValueError: the groups of a convolution read different copies, or a quantizer does not let its kernel be
            divided among the copies.
    """
    groups = getattr(layer, "groups", 1)
    group = copies[: len(copies) // groups]
    if groups > 1 and not np.array_equal(np.tile(group, groups), copies):
        raise ValueError(f"decouple: the groups of layer {layer.name!r} read activations of different levels.")
    weights = _graph.latent_weights(layer)
    changes: dict[str, Any] = {}
    for kernel in _kernels(layer):
        [index] = [i for i, variable in enumerate(layer.weights) if variable is getattr(layer, kernel.name)]
        weights[index], change = _widened_kernel(layer, kernel, weights[index], group)
        changes |= change
    return weights, changes


def _widened_kernel(
    layer: keras.layers.Layer, kernel: _Kernel, latent: np.ndarray, copies: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Finds the latent kernel whose quantized values are those of `layer`, repeated and divided among the copies.

    Returns:
        The latent kernel, and the changes in the layer's configuration: a quantizer that forgets the scale of the
        latent kernel is replaced by one that divides its result instead.
    """
    quantizer = getattr(layer, kernel.quantizer, None)
    repeated_and_divided = kernel.repeat(latent, copies)
    if quantizer is None:
        return repeated_and_divided, {}

    def quantize(weight: np.ndarray) -> np.ndarray:
        # A copy computes it: a quantizer that counts flips remembers the shape of the kernel it was built for.
        probe = type(quantizer).from_config(quantizer.get_config()) if hasattr(quantizer, "get_config") else quantizer
        return np.asarray(probe(tf.constant(weight)))

    expected = kernel.repeat(quantize(latent), copies)
    # An optimizer such as Bop keeps latent weights at +1 and -1 and would set W / n back to these.
    flipped_only = getattr(quantizer, "precision", None) == 1 and bool(np.all(np.abs(latent) == 1))
    if not flipped_only and np.allclose(quantize(repeated_and_divided), expected, rtol=1e-5, atol=0):
        return repeated_and_divided, {}
    if len(set(copies)) > 1:
        raise ValueError(
            f"decouple: the quantized kernel of layer {layer.name!r} reads activations of different levels, "
            "which one scale cannot weigh. Use the same levels for all it reads, or no kernel quantizer."
        )
    levels = int(copies[0])
    repeated = replace(kernel, divided=False).repeat(latent, copies)
    if np.allclose(quantize(repeated) / levels, expected, rtol=1e-5, atol=0):
        scaled = ScaledQuantizer(quantizer, 1 / levels, dtype=getattr(quantizer, "_dtype_policy", None))
        return repeated, {kernel.quantizer: lq.quantizers.serialize(scaled)}
    name = getattr(quantizer, "name", getattr(quantizer, "__name__", quantizer))
    raise ValueError(
        f"decouple: the kernel quantizer {name!r} of layer {layer.name!r} gives neither q(W / n) = q(W) / n nor, "
        "for a kernel repeated n times, q(W) repeated, so the kernel cannot be divided among copies of its input. "
        "Use bduo_tf.ScaledSign(), or no kernel quantizer."
    )
