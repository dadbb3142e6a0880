"""Models of a few operators, written operator by operator, and other files changed: what no converter would write."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {"float32": 0, "int32": 2, "uint8": 3, "int8": 9}
_OPTIONS = {"SOFTMAX": "SoftmaxOptions", "SUB": "SubOptions", "FULLY_CONNECTED": "FullyConnectedOptions"}


def write(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def edited(content: bytes, change: Callable[[Any], None]) -> bytes:
    """A model changed by what `change` does with its ModelT; what stands behind the FlatBuffer is left out."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    change(model)
    return write(model)


def with_entry(content: bytes, value: Any, name: str = "bduo") -> bytes:
    """A model with an entry of metadata: bytes as they are, all else as JSON."""

    def add(model: Any) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        entry, buffer = schema.MetadataT(), schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        entry.name, entry.buffer = name, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]

    return edited(content, add)


class Builder:
    """A graph, put together tensor by tensor."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version = 3
        self.model.subgraphs, self.model.operatorCodes, self.model.buffers = [self.graph], [], [schema.BufferT()]
        self.graph.tensors, self.graph.operators = [], []
        self.model.signatureDefs = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        quantization: tuple[float, int] | None = None,
        value: np.ndarray | None = None,
    ) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(shape), TYPES[dtype]
        if quantization:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [quantization[0]], [quantization[1]]
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value.astype(dtype).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name: str, inputs: Sequence[int], output: int) -> None:
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes), list(inputs), [output]
        if name in _OPTIONS:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, _OPTIONS[name])
            operator.builtinOptions = getattr(schema, f"{_OPTIONS[name]}T")()
            if name == "SOFTMAX":
                operator.builtinOptions.beta = 1.0
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)

    def signature(self, inputs: dict[str, int], outputs: dict[str, int], key: str = "serving_default") -> None:
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, 0
        signature.inputs, signature.outputs = ([_map(*item) for item in d.items()] for d in (inputs, outputs))
        self.model.signatureDefs.append(signature)

    def write(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        self.graph.inputs, self.graph.outputs = list(inputs), list(outputs)
        return write(self.model)


def _map(name: str, tensor: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, tensor
    return entry


def scores(units: int, *operators: str, dtype: str = "float32") -> bytes:
    """A "classifier" of pictures of 1 x `units` grey pixels: these are the scores, that the operators change.

    "QUANTIZE" makes float scores uint8, in 256 steps from 0 to 1. A quantized softmax or sigmoid (by `dtype`) has
    scores from -4 to 4, and gives the steps that LiteRT wants of it.
    """
    b = Builder()
    wide = None if dtype == "float32" else (8 / 256, 128 if dtype == "uint8" else 0)
    image = b.tensor("image", (1, 1, units, 1), dtype, wide)
    current = b.tensor("pixels", (1, units), dtype, wide)
    shape = b.tensor("shape", (2,), "int32", value=np.array([1, units]))
    b.operator("RESHAPE", [image, shape], current)
    for i, name in enumerate(operators):
        dtype = {"QUANTIZE": "uint8", "DEQUANTIZE": "float32"}.get(name, dtype)
        quantization = None if dtype == "float32" else (1 / 256, -128 if dtype == "int8" else 0)
        inputs = [current]
        if name == "RESHAPE":
            inputs.append(shape)
        if name == "FULLY_CONNECTED":  # with the unit matrix
            inputs += [b.tensor("kernel", (units, units), value=np.eye(units))]
        output = b.tensor(f"{name}{i}", (1, units), dtype, quantization)
        b.operator(name, inputs, output)
        current = output
    return b.write([image], [current])


def image_model(shape: tuple[int, int, int]) -> bytes:
    """A "classifier" of pictures of `shape`, whose scores are their pixels."""
    b = Builder()
    units = int(np.prod(shape))
    image, output = b.tensor("image", (1, *shape)), b.tensor("scores", (1, units))
    b.operator("RESHAPE", [image, b.tensor("shape", (2,), "int32", value=np.array([1, units]))], output)
    return b.write([image], [output])
