"""What a .tflite file consists of: which operators, and what they cost."""

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from bduo_tf.backend import keras, lq
from bduo_tf.conversion.operators import Operator, Tensor, batch_size, read_operators
from bduo_tf.conversion.tflite import convert_float32

__all__ = ["Cost", "Product", "cost", "expected_operators", "float_elements", "operators", "product_of"]

_BITS = {"float32": 32, "float16": 16, "int16": 16, "int8": 8, "uint8": 8}


def operators(file: bytes) -> dict[str, int]:
    """Returns how often each operator occurs in a .tflite file, by its name; custom ones have names of their own."""
    return dict(Counter(operator.name for operator in read_operators(file)))


def float_elements(file: bytes) -> int:
    """Returns how many float32 elements one inference writes that no convolution or dense layer makes."""
    others = [operator for operator in read_operators(file) if operator.name not in _PRODUCTS]
    return sum(t.size for operator in others for t in operator.outputs if t.type == "float32")


def is_binary_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer is to become an LceBconv2d: whether it is a convolution of signs with binary kernels."""
    quantizers = (getattr(layer, "input_quantizer", None), getattr(layer, "kernel_quantizer", None))
    return isinstance(layer, lq.layers.QuantConv2D) and all(getattr(q, "precision", None) == 1 for q in quantizers)


def expected_operators(graph: keras.Model, found: dict[str, int], floats: Collection[str] = ()) -> list[str]:
    """Says what is wrong with the operators of a converted deployment graph, one line each; empty if nothing is.

    There must be as many LceBconv2d as there are calls of binary layers. A binary layer that silently became a float
    one would pass any comparison of outputs.

    Args:
        graph: the deployment graph.
        found: how often each operator occurs in its file.
        floats: the names of the binary layers that are known to stay float.
    """
    # A layer that is called again on the same tensors is computed once.
    calls = {
        (node.layer.name, *map(id, node.keras_inputs)): node.layer
        for depth in graph._nodes_by_depth.values()
        for node in depth
        if is_binary_layer(node.layer) and node.layer.name not in floats
    }
    # LCE may make binary convolutions even of layers that are said to stay float.
    if len(calls) <= found.get("LceBconv2d", 0) <= len(calls) + len(floats):
        return []
    names = {layer.name for layer in calls.values()}
    layers = ", ".join(layer.name for layer in graph.layers if layer.name in names)
    problems = [
        f"{found.get('LceBconv2d', 0)} LceBconv2d operators for {len(calls)} binary layers ({layers or 'none'})"
    ]
    # TFLite's own converter, for which all layers are float, tells how many float products are too many.
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
        weights: how many entries its kernels have. Biases, batch norms and thresholds do not count.
        macs: the multiply-accumulates of one inference, by the bits of the activations, such as {1: ..., 32: ...}.
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
        if (product := product_of(operator)) is not None:
            macs[product.bits] += product.macs * operator.times
            weights |= product.weights
    batch = batch_size(file)
    return Cost(sum(weights.values()), {bits: n // batch for bits, n in sorted(macs.items()) if n})


def product_of(operator: Operator) -> "Product | None":
    """Returns what an operator multiplies in one run; None if it does not multiply and accumulate."""
    return _PRODUCTS[operator.name](operator) if operator.name in _PRODUCTS else None


@dataclass(frozen=True)
class Product:
    """What an operator multiplies: the bits of the activations, multiply-accumulates, the entries of each kernel."""

    bits: int
    macs: int
    weights: dict[tuple[int, int], int]


def _product(x: Tensor | None, macs: int, *kernels: Tensor | None) -> Product:
    weights = {k.key: k.size for k in kernels if k is not None and k.constant}
    return Product(_BITS.get(x.type, 32) if x else 32, macs, weights)


def _tensors(operator: Operator) -> tuple[Tensor, ...]:
    return tuple(t for t in operator.inputs if t is not None)


def _convolution(operator: Operator) -> Product:
    """Kernels are (output channels, ..., input channels of a group), also those of dense layers."""
    x, kernel, *_ = _tensors(operator)
    return _product(x, operator.outputs[0].size * math.prod(kernel.shape[1:]), kernel)


def _depthwise(operator: Operator) -> Product:
    """Kernels are (1, height, width, output channels)."""
    x, kernel, *_ = _tensors(operator)
    return _product(x, operator.outputs[0].size * math.prod(kernel.shape[1:-1]), kernel)


def _volume(operator: Operator) -> Product:
    """Kernels are (depth, height, width, input channels, output channels)."""
    x, kernel, *_ = _tensors(operator)
    return _product(x, operator.outputs[0].size * math.prod(kernel.shape[:-1]), kernel)


def _transposed(operator: Operator) -> Product:
    """Kernels are (..., input channels), and each input is multiplied by all of them. The output's shape is first."""
    _, kernel, x, *_ = _tensors(operator)
    return _product(x, x.size * math.prod(kernel.shape[:-1]), kernel)


def _matrices(operator: Operator) -> Product:
    """Matrices (..., m, k) times (..., k, n), each perhaps transposed, of which mk * kn / mn is the square of k."""
    x, y, *_ = _tensors(operator)
    output = operator.outputs[0]
    last = [math.prod(t.shape[-2:]) for t in (x, y, output)]
    return _product(x, output.size * math.isqrt(last[0] * last[1] // max(last[2], 1)), x, y)


def _recurrent(operator: Operator) -> Product:
    """Inputs are (..., channels), each of which is multiplied by all the matrices."""
    x, *others = _tensors(operator)
    kernels = [t for t in others if t.constant and len(t.shape) == 2]
    return _product(x, math.prod(x.shape[:-1]) * sum(k.size for k in kernels), *kernels)


def _binary(operator: Operator) -> Product:
    """Kernels are (output channels, height, width, words of 32 input channels of a group)."""
    _, kernel, *_ = _tensors(operator)
    channels = operator.option("channels_in")
    groups = max(1, -(-channels // 32) // kernel.shape[-1])
    weights = math.prod(kernel.shape[:-1]) * (channels // groups)
    # The output may be packed too, so that its channels are counted by the kernel.
    return Product(1, math.prod(operator.outputs[0].shape[:-1]) * weights, {kernel.key: weights})


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
"""The operators of TFLite and of LCE that multiply and accumulate, and what counts each of them."""
