"""The operators in a .tflite file and the tensors they read and write. Knows nothing of Keras."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

__all__ = ["Operator", "Tensor", "batch_size", "read_operators"]


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes:
        key: the indices of its subgraph and of the tensor in that, which tell it from all others of the file.
        name: its name in the file, which LCE's converter makes of layers' names, and may cut short.
        shape: its shape as the file has it.
        type: TFLite's name of its type in small letters, such as float32.
        constant: whether it is the same in every inference, being stored in the file or computed of such tensors.
        stored: the bytes of it that are in the file; 0 for a tensor that is computed.
        buffer: the index of the buffer that holds these bytes, which tensors may share.
        state: whether it keeps its content from one inference to the next.
    """

    key: tuple[int, int]
    name: str
    shape: tuple[int, ...]
    type: str
    constant: bool
    stored: int
    buffer: int
    state: bool

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator of a file.

    Attributes:
        name: TFLite's name for it, or the own name of a custom operator.
        inputs: the tensors that it reads, None in place of an optional one that is absent.
        outputs: the tensors that it writes.
        times: how often one inference runs it, which is more than once in the body of a loop.
        custom_options: the content of a custom operator's options; empty for others.
    """

    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    times: int
    custom_options: bytes = b""

    def option(self, name: str) -> int:
        """Returns an option of one of LCE's operators, which write them as a map of numbers."""
        return int(flexbuffers.Loads(bytearray(self.custom_options))[name])


def read_operators(file: bytes) -> list[Operator]:
    """Returns all operators of a .tflite file, subgraph by subgraph, in the order in which they run."""
    reader = _Reader(file)
    return [operator for graph in range(reader.model.SubgraphsLength()) for operator in reader.operators(graph)]


def batch_size(file: bytes) -> int:
    """Returns how many images one inference takes."""
    reader = _Reader(file)
    graph = reader.model.Subgraphs(0)
    shapes = [graph.Tensors(int(i)).ShapeAsNumpy() for i in graph.InputsAsNumpy()] if graph.InputsLength() else []
    return int(shapes[0][0]) if shapes and np.size(shapes[0]) else 1


class _Reader:
    """Reads the tables of a file."""

    def __init__(self, file: bytes) -> None:
        from tensorflow.lite.python import schema_py_generated as schema

        self.schema = schema
        self.model = schema.Model.GetRootAs(file, 0)
        self._names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self._types = {v: k.lower() for k, v in vars(schema.TensorType).items() if isinstance(v, int)}
        self._computed: set[tuple[int, int]] = set()  # the constant tensors that are not stored in the file

    def operators(self, index: int) -> Iterator[Operator]:
        graph = self.model.Subgraphs(index)
        times = self._times.get(index, 1)
        for i in range(graph.OperatorsLength()):
            operator = graph.Operators(i)
            read = [self._tensor(index, t) if t >= 0 else None for t in _indices(operator, "Inputs")]
            known = [t for t in read if t is not None]
            if known and all(t.constant for t in known):
                self._computed.update((index, t) for t in _indices(operator, "Outputs"))
            written = [self._tensor(index, t) for t in _indices(operator, "Outputs")]
            options = operator.CustomOptionsAsNumpy().tobytes() if operator.CustomOptionsLength() else b""
            yield Operator(self._name(operator), tuple(read), tuple(written), times, options)

    def _tensor(self, graph: int, index: int) -> Tensor:
        tensor = self.model.Subgraphs(graph).Tensors(index)
        shape = tuple(tensor.ShapeAsNumpy().tolist()) if tensor.ShapeLength() else ()
        buffer = self.model.Buffers(tensor.Buffer())
        stored = int(buffer.DataLength() or buffer.Size())
        return Tensor(
            key=(graph, index),
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=shape,
            type=self._types[tensor.Type()],
            constant=bool(stored) or (graph, index) in self._computed,
            stored=stored,
            buffer=tensor.Buffer(),
            state=bool(tensor.IsVariable()),
        )

    def _name(self, operator: Any) -> str:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        custom = code.CustomCode()
        # A code below 127 may stand in the older field alone.
        return custom.decode() if custom else self._names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]

    @cached_property
    def _times(self) -> dict[int, int]:
        """How often the body of each loop runs: the number that its condition compares a counter with, if any."""
        times = {}
        for graph in map(self.model.Subgraphs, range(self.model.SubgraphsLength())):
            for operator in map(graph.Operators, range(graph.OperatorsLength())):
                if self._name(operator) == "WHILE":
                    options = self.schema.WhileOptions()
                    table = operator.BuiltinOptions()
                    options.Init(table.Bytes, table.Pos)
                    times[options.BodySubgraphIndex()] = self._limit(options.CondSubgraphIndex())
        return times

    def _limit(self, condition: int) -> int:
        graph = self.model.Subgraphs(condition)
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            if self._name(operator) == "LESS":
                for index in _indices(operator, "Inputs"):
                    buffer = self.model.Buffers(graph.Tensors(index).Buffer())
                    if buffer.DataLength() == 4:
                        return int(buffer.DataAsNumpy().view("<i4")[0])
        return 1


def _indices(operator: Any, which: str) -> list[int]:
    return getattr(operator, f"{which}AsNumpy")().tolist() if getattr(operator, f"{which}Length")() else []
