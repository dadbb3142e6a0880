"""Binary layers as the two-dimensional +1/-1 convolutions that LCE has kernels for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, lq
from bduo_tf.deployment._layers import ChannelGather
from bduo_tf.deployment._values import Bits, Value

__all__ = ["PRODUCTS", "BinaryKernel", "SignedProducts", "binary_kernel", "has_binary_kernel", "unsupported"]

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)
_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose)
PRODUCTS = (*_CONVOLUTIONS, keras.layers.Dense)
"""Layers that are one product with a kernel. Keras' transposed convolutions derive from them, and must be left out."""


@dataclass(frozen=True)
class BinaryKernel:
    """A kernel alpha * sign, with one scale for each output channel.

    Attributes:
        sign: +1 and -1, an array of the kernel's shape.
        alpha: the scales, float64 (output channels,).
    """

    sign: np.ndarray
    alpha: np.ndarray


def binary_kernel(layer: keras.layers.Layer) -> BinaryKernel | None:
    """The quantized kernel of a layer; None where it is not binary."""
    kernel = _graph.quantized_kernel(layer).astype(np.float64)
    size = np.abs(kernel).reshape(-1, kernel.shape[-1])
    alpha = size.max(axis=0)
    if not np.all(size >= alpha * (1 - 1e-6)):
        return None
    return BinaryKernel(np.where(kernel < 0, -1.0, 1.0), alpha)


def has_binary_kernel(layer: keras.layers.Layer) -> bool:
    """Whether a layer has a quantizer of one bit for at least one of its kernels."""
    names = ("kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")
    return any(getattr(getattr(layer, name, None), "precision", None) == 1 for name in names)


def unsupported(layer: keras.layers.Layer, shape: Sequence[int | None], signs: bool) -> str | None:
    """Says why LCE cannot run a layer on binary activations.

    Args:
        layer: the layer of the binary model.
        shape: the shape of the tensor that it reads.
        signs: whether its activations are +1 and -1, or 1 and 0.

    Returns:
        The predicate of a sentence whose subject is the layer; None if LCE can run it.
    """
    kind = type(layer).__name__
    if not is_exactly(layer, PRODUCTS) or isinstance(layer, _TRANSPOSED):
        return f"is a {kind}, which LCE cannot run on binary activations"
    if len(shape) > 4:
        return f"reads a tensor of shape {tuple(shape)}"
    if isinstance(layer, keras.layers.Dense):
        return None
    if layer.data_format != "channels_last":
        return "has its channels first"
    padding, value = layer.padding, getattr(layer, "pad_values", 0.0)
    allowed = {"valid": (value,), "same": (0.0, 1.0) if signs else (0.0,), "causal": (1.0,) if signs else (0.0,)}
    if value not in allowed[padding]:
        return f"pads its activations with {value}"
    return None


class SignedProducts:
    """Makes the +1/-1 convolutions that take the place of binary layers.

    All calls of a layer that read their channels in the same order are calls of the same convolution.

    Args:
        unique_name: makes a layer's name one that the graph does not have yet.
    """

    def __init__(self, unique_name: Callable[[str], str]) -> None:
        self._unique_name = unique_name
        self._convs: dict[tuple[Any, ...], list[keras.layers.Layer]] = {}

    def product(self, layer: keras.layers.Layer, bits: Bits, kernel: BinaryKernel) -> Value:
        """The output of a binary layer before its activation function, its scale and offset put off.

        Let alpha * w be the kernel, w its signs. For activations s of +1 and -1 the output is alpha * (w * s). For
        activations a of 0 and 1 the tensor has the signs s = 1 - 2a, and it is alpha / 2 * ((-w) * s + sum(w)).

        Args:
            layer: the layer of the binary model.
            bits: the activation that it reads.
            kernel: its kernel.
        """
        terms = int(np.prod(kernel.sign.shape[:-1]))
        tensor = self._convolve(layer, bits, kernel.sign if bits.signs else -kernel.sign)
        bias = layer.bias.numpy().astype(np.float64) if layer.use_bias else np.zeros_like(kernel.alpha)
        scale, offset = kernel.alpha, bias
        if not bits.signs:
            scale, offset = scale / 2, scale / 2 * kernel.sign.reshape(terms, -1).sum(axis=0) + bias
        zeros = bits.signs and getattr(layer, "padding", "") == "same" and getattr(layer, "pad_values", 0.0) == 0.0
        pending = bool((scale != 1).any() or offset.any())
        return Value(
            tensor,
            layer.name,
            scale[:, None] if pending else None,
            offset[:, None] if pending else None,
            terms,
            spacing=1 if zeros else 2,
        )

    def _convolve(self, layer: keras.layers.Layer, bits: Bits, sign: np.ndarray) -> Any:
        """The integers that the convolution of the activation's signs with `sign` yields, in the layer's shape."""
        tensor = bits.tensor
        rank = len(tensor.shape)
        if getattr(layer, "padding", None) == "causal":
            # LCE takes a zero for +1. That is right in both cases: +1 stands for a 0/1 activation that is off, and
            # signs are deployed only where the layer pads them with +1.
            margin = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
            tensor = keras.layers.ZeroPadding1D((margin, 0), name=self._unique_name(f"{layer.name}_pad"))(tensor)
        if rank < 4:
            pixels = (1, 1, tensor.shape[-1]) if rank == 2 else (1, -1, tensor.shape[-1])
            tensor = keras.layers.Reshape(pixels, name=self._unique_name(f"{layer.name}_pixels"))(tensor)
        groups = getattr(layer, "groups", 1)
        key = (id(layer), rank, bits.signs, bits.order.tobytes())
        if key not in self._convs:
            self._convs[key] = self._layers(layer, groups, rank, bits.signs)
        convs = self._convs[key]

        # The kernel of a group has only the group's own input channels.
        width = len(bits.order) // groups
        chosen = [np.flatnonzero(bits.order // width == g) for g in range(groups)]
        parts = [tensor]
        if groups > 1:
            parts = [
                ChannelGather([int(c) for c in channels], name=self._unique_name(f"{layer.name}_group"))(tensor)
                for channels in chosen
            ]
        outputs = [conv(part) for conv, part in zip(convs, parts, strict=True)]
        kernel = sign.reshape(*[1] * (4 - sign.ndim), *sign.shape)
        for conv, group, channels in zip(convs, np.split(kernel, groups, axis=-1), chosen, strict=True):
            conv.set_weights([group[:, :, bits.order[channels] % width]])
        tensor = outputs[0]
        if groups > 1:
            tensor = keras.layers.Concatenate(name=self._unique_name(f"{layer.name}_groups"))(outputs)
        if rank < 4:
            shape = (tensor.shape[-1],) if rank == 2 else (-1, tensor.shape[-1])
            tensor = keras.layers.Reshape(shape, name=self._unique_name(f"{layer.name}_units"))(tensor)
        return tensor

    def _layers(self, layer: keras.layers.Layer, groups: int, rank: int, signs: bool) -> list[keras.layers.Layer]:
        """The convolutions that take the place of `layer`, one for each group."""
        options: dict[str, Any] = {"filters": layer.kernel.shape[-1] // groups, "kernel_size": 1}
        if not isinstance(layer, keras.layers.Dense):
            flat = (1,) * (4 - rank)  # the height of a one-dimensional convolution
            same = layer.padding == "same"
            options |= {
                "kernel_size": flat + layer.kernel_size,
                "strides": layer.strides * (3 - len(layer.strides)),
                "dilation_rate": flat + layer.dilation_rate,
                "padding": "same" if same else "valid",
                # The zeros around 0/1 activations are +1 as signs; around signs the layer says what it pads with.
                "pad_values": 0.0 if not same else layer.pad_values if signs else 1.0,
            }
        return [
            lq.layers.QuantConv2D(
                **options,
                use_bias=False,
                input_quantizer=lq.quantizers.SteSign(),
                kernel_quantizer=lq.quantizers.SteSign(),
                name=self._unique_name(layer.name),
            )
            for _ in range(groups)
        ]
