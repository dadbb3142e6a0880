"""What a .tflite file holds: which operators, and what they cost."""

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bduo_tf.backend import keras, lq
from bduo_tf.conversion.operators import Operator, Tensor, batch_size, read_operators
from bduo_tf.conversion.tflite import convert_float32

__all__ = ["Cost", "cost", "expected_operators", "float_elements", "operators"]

_BITS = {"float32": 32, "float16": 16, "int16": 16, "int8": 8, "uint8": 8}


def operators(file: bytes) -> dict[str, int]:
    """How often each operator occurs in a .tflite file, custom ones by their own name."""
    return dict(Counter(operator.name for operator in read_operators(file)))


def float_elements(file: bytes) -> int:
    """How many float32 elements one inference writes, batch 1, beside those of convolutions and dense layers."""
    others = [operator for operator in read_operators(file) if operator.name not in _PRODUCTS]
    return sum(t.size for operator in others for t in operator.outputs if t.type == "float32")


def is_binary_layer(layer: keras.layers.Layer) -> bool:
    """Whether LCE's converter is to make a layer an LceBconv2d: a convolution of signs with binary kernels."""
    quantizers = (getattr(layer, "input_quantizer", None), getattr(layer, "kernel_quantizer", None))
    return isinstance(layer, lq.layers.QuantConv2D) and all(getattr(q, "precision", None) == 1 for q in quantizers)


def expected_operators(graph: keras.Model, found: dict[str, int], floats: Collection[str] = ()) -> list[str]:
    """What is wrong with the operators of a converted deployment graph; empty if nothing is.

    There must be as many LceBconv2d as calls of binary layers: a binary layer that silently became a float one
    passes any comparison of outputs.

    Args:
        graph: the deployment graph.
        found: the operators of its file.
        floats: names of binary layers that are known to stay float.
    """
    # A layer called again on the same tensors is computed once.
    calls = {
        (node.layer.name, *map(id, node.keras_inputs)): node.layer
        for depth in graph._nodes_by_depth.values()
        for node in depth
        if is_binary_layer(node.layer) and node.layer.name not in floats
    }
    # Of layers that are known to stay float LCE may make a binary convolution all the same.
    if len(calls) <= found.get("LceBconv2d", 0) <= len(calls) + len(floats):
        return []
    names = {layer.name for layer in calls.values()}
    layers = ", ".join(layer.name for layer in graph.layers if layer.name in names)
    problems = [
        f"{found.get('LceBconv2d', 0)} LceBconv2d operators for {len(calls)} binary layers ({layers or 'none'})"
    ]
    # Which float products are too many is told by TFLite's own converter, to which all layers are float.
    products = _float_products(operators(convert_float32(graph))) - len(calls)
    if _float_products(found) > products:
        problems.append(f"{_float_products(found)} float products for {products} float layers")
    return problems


def _float_products(found: dict[str, int]) -> int:
    return sum(n for name, n in found.items() if name in _PRODUCTS and name != "LceBconv2d")


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        weights: entries of kernels, without biases, batch norms and thresholds.
        macs: multiply-accumulates of one inference by the bits of the activations, such as {1: ..., 32: ...}.
    """

    weights: int
    macs: dict[int, int]

    def as_json(self) -> dict[str, Any]:
        return {"weights": self.weights, "macs": {f"{bits}-bit": n for bits, n in self.macs.items()}}


def cost(file: bytes) -> Cost:
    """Counts the operators of a .tflite file that multiply and accumulate, for one image."""
    macs: Counter[int] = Counter()
    weights: dict[tuple[int, int], int] = {}
    for operator in read_operators(file):
        if operator.name in _PRODUCTS:
            product = _PRODUCTS[operator.name](operator)
            macs[product.bits] += product.macs * operator.times
            weights |= product.weights
    batch = batch_size(file)
    return Cost(sum(weights.values()), {bits: n // batch for bits, n in sorted(macs.items()) if n})


@dataclass(frozen=True)
class _Product:
    """What an operator multiplies: bits of the activations, multiply-accumulates, entries of each kernel."""

    bits: int
    macs: int
    weights: dict[tuple[int, int], int]


def _product(x: Tensor | None, macs: int, *kernels: Tensor | None) -> _Product:
    weights = {k.key: k.size for k in kernels if k is not None and k.constant}
    return _Product(_BITS.get(x.type, 32) if x else 32, macs, weights)


def _tensors(operator: Operator) -> tuple[Tensor, ...]:
    return tuple(t for t in operator.inputs if t is not None)


def _convolution(operator: Operator) -> _Product:
    """Kernels (output channels, ..., input channels of a group), as those of dense layers."""
    x, kernel, *_ = _tensors(operator)
    return _product(x, operator.outputs[0].size * math.prod(kernel.shape[1:]), kernel)


def _depthwise(operator: Operator) -> _Product:
    """Kernels (1, height, width, output channels)."""
    x, kernel, *_ = _tensors(operator)
    return _product(x, operator.outputs[0].size * math.prod(kernel.shape[1:-1]), kernel)


def _volume(operator: Operator) -> _Product:
    """Kernels (depth, height, width, input channels, output channels)."""
    x, kernel, *_ = _tensors(operator)
    return _product(x, operator.outputs[0].size * math.prod(kernel.shape[:-1]), kernel)


def _transposed(operator: Operator) -> _Product:
    """Kernels (..., input channels), with all of which each input is multiplied; its shape is the first input."""
    _, kernel, x, *_ = _tensors(operator)
    return _product(x, x.size * math.prod(kernel.shape[:-1]), kernel)


def _matrices(operator: Operator) -> _Product:
    """(..., m, k) times (..., k, n), each perhaps transposed: mk * kn / mn is the square of k."""
    x, y, *_ = _tensors(operator)
    output = operator.outputs[0]
    last = [math.prod(t.shape[-2:]) for t in (x, y, output)]
    return _product(x, output.size * math.isqrt(last[0] * last[1] // max(last[2], 1)), x, y)


def _recurrent(operator: Operator) -> _Product:
    """Inputs (..., channels), each multiplied by all the matrices."""
    x, *others = _tensors(operator)
    kernels = [t for t in others if t.constant and len(t.shape) == 2]
    return _product(x, math.prod(x.shape[:-1]) * sum(k.size for k in kernels), *kernels)


def _binary(operator: Operator) -> _Product:
    """Kernels (output channels, height, width, words of 32 input channels of a group)."""
    _, kernel, *_ = _tensors(operator)
    channels = operator.option("channels_in")
    groups = max(1, -(-channels // 32) // kernel.shape[-1])
    weights = math.prod(kernel.shape[:-1]) * (channels // groups)
    # The output may be packed too: its channels are the kernel's.
    return _Product(1, math.prod(operator.outputs[0].shape[:-1]) * weights, {kernel.key: weights})


_PRODUCTS = {
    "CONV_2D": _convolution,
    "FULLY_CONNECTED": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONV_3D": _volume,
    "TRANSPOSE_CONV": _transposed,
    "CONV_3D_TRANSPOSE": _transposed,
    "BATCH_MATMUL": _matrices,
    "RNN": _recurrent,
    "LSTM": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent,
    "LceBconv2d": _binary,
}
"""Operators of TFLite and of LCE that multiply and accumulate, and how they are counted."""
