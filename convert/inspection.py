"""What a .tflite file holds, and what a model costs."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bduo_tf._keras import keras, lq

__all__ = ["Cost", "cost", "expected_operators", "float_elements", "operators"]

_FLOAT_PRODUCTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D", "BATCH_MATMUL")


def operators(file: bytes) -> dict[str, int]:
    """How often each operator occurs in a .tflite file, custom ones by their own name."""
    return dict(Counter(name for name, _ in _outputs(file)))


def float_elements(file: bytes) -> int:
    """How many float32 elements one inference writes, batch 1, beside those of convolutions and dense layers."""
    return sum(floats for name, floats in _outputs(file) if name not in (*_FLOAT_PRODUCTS, "LceBconv2d"))


def _outputs(file: bytes) -> Iterator[tuple[str, int]]:
    """Each operator's name, and how many float32 elements it writes."""
    from tensorflow.lite.python import schema_py_generated as schema

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    model = schema.Model.GetRootAs(file, 0)

    def name(index: int) -> str:
        code = model.OperatorCodes(index)
        custom = code.CustomCode()
        if custom is not None:
            return custom.decode()
        # Codes below 127 may stand in the older field alone.
        return names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    for i in range(model.SubgraphsLength()):
        graph = model.Subgraphs(i)
        for j in range(graph.OperatorsLength()):
            operator = graph.Operators(j)
            tensors = [graph.Tensors(t) for t in operator.OutputsAsNumpy().tolist()]
            floats = sum(math.prod(t.ShapeAsNumpy().tolist()) for t in tensors if t.Type() == schema.TensorType.FLOAT32)
            yield name(operator.OpcodeIndex()), floats


def is_binary_layer(layer: keras.layers.Layer) -> bool:
    """Whether a layer multiplies binary activations by binary kernels."""
    quantizers = (getattr(layer, "input_quantizer", None), getattr(layer, "kernel_quantizer", None))
    return all(getattr(q, "precision", None) == 1 for q in quantizers)


def expected_operators(graph: keras.Model, found: dict[str, int]) -> list[str]:
    """What is wrong with the operators of a converted deployment graph; empty if nothing is.

    As many LceBconv2d as binary layers, and no more float products than the graph has float layers:
    a binary layer that silently became a float one passes any comparison of outputs.
    """
    depths = sorted(graph._nodes_by_depth.items(), reverse=True)
    calls = Counter(node.layer for _, nodes in depths for node in nodes)
    with_kernel = {layer: n for layer, n in calls.items() if hasattr(layer, "kernel")}
    binary = sum(n for layer, n in with_kernel.items() if is_binary_layer(layer))
    products = sum(with_kernel.values()) - binary
    problems = []
    if found.get("LceBconv2d", 0) != binary:
        layers = ", ".join(layer.name for layer in with_kernel if is_binary_layer(layer))
        problems.append(
            f"{found.get('LceBconv2d', 0)} LceBconv2d operators for {binary} binary layers ({layers or 'none'})"
        )
    float_products = sum(found.get(name, 0) for name in _FLOAT_PRODUCTS)
    if float_products > products:
        problems.append(f"{float_products} float products for {products} float layers")
    return problems


@dataclass(frozen=True)
class Cost:
    """What a model costs.

    Attributes:
        weights: trainable kernel entries (latent or float), without biases, batch norms and thresholds.
        macs: multiply-accumulates of one inference by the bits of the wider operand, such as {1: ..., 32: ...}.
    """

    weights: int
    macs: dict[int, int]

    def as_json(self) -> dict[str, Any]:
        return {"weights": self.weights, "macs": {f"{bits}-bit": n for bits, n in self.macs.items()}}


def cost(graph: keras.Model) -> Cost:
    """Counts with Larq's own profile, the one behind `larq.models.summary`.

    Args:
        graph: the deployment graph, in which every binary layer has its activation as its quantizer; in a
            model it may be a layer of its own, which the profile does not see.
    """
    profile = lq.models.ModelProfile(graph)
    macs = {bits: profile.op_count("mac", bits) for bits in profile.unique_op_precisions}
    kernels = [layer.kernel for layer in graph._flatten_layers() if hasattr(layer, "kernel")]
    return Cost(sum(int(k.shape.num_elements()) for k in kernels), {bits: n for bits, n in macs.items() if n})
