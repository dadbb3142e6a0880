"""Lists a model's operators, and the delegate's steps with the operators that each runs and the time it takes."""

import gc
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert import interpreter as litert

from bduo_runtime._interpreter import Interpreter

__all__ = ["Operator", "Step", "model_operators", "random_inputs", "steps"]


@dataclass(frozen=True)
class Operator:
    """An operator of the file.

    Attributes:
        index: its number in the file's order.
        name: its name, such as "MAX_POOL_2D" or "LceBconv2d".
        shape: the shape of its first output.
        type: the type of its first output, such as "float32".
    """

    index: int
    name: str
    shape: tuple[int, ...]
    type: str


@dataclass(frozen=True)
class Step:
    """One pass of the delegate, which runs one operator or several at once.

    Attributes:
        nodes: the numbers of the operators that it runs, the last of which makes its output.
        operators: the names of these operators.
        kernel: the name of the kernel that computes it; empty if it has no kernel with a name.
        output: the shape of its output.
        macs: the multiply-adds of one run.
        runs: how often it ran.
        nanoseconds: the time that all runs took together.
    """

    nodes: list[int]
    operators: list[str]
    kernel: str
    output: list[int]
    macs: int
    runs: int
    nanoseconds: int

    @property
    def microseconds(self) -> float:
        """The mean time of one run."""
        return self.nanoseconds / 1e3 / max(1, self.runs)

    @property
    def title(self) -> str:
        """The names of the operators, each of them once."""
        return " + ".join(dict.fromkeys(self.operators))


def model_operators(path: str) -> list[Operator]:
    """The operators of a file that `Interpreter` has accepted, in its order."""
    # LiteRT's public functions read the tensors' names too, and fail where one is not UTF-8.
    plain = litert.Interpreter(model_content=Path(path).read_bytes())._interpreter
    found = []
    for index in range(plain.NumNodes()):
        shape, dtype = (), ""
        for output in plain.NodeOutputs(index)[:1]:
            shape, dtype = tuple(plain.TensorSize(output, 0).tolist()), np.dtype(plain.TensorType(output, 0)).name
        found.append(Operator(index, plain.NodeName(index), shape, dtype))
    return found


def steps(path: str, num_threads: int, use: Callable[[Interpreter], None]) -> list[Step]:
    """Lists the delegate's steps with the time that each took.

    Args:
        path: the .tflite file.
        num_threads: the number of threads.
        use: a function that runs an interpreter of the file, whose steps are timed. It must not keep the interpreter:
            the delegate writes its report when the interpreter is deleted.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report")
        interpreter = Interpreter(path, num_threads, report=report)
        use(interpreter)
        del interpreter
        gc.collect()
        lines = Path(report).read_text().splitlines() if os.path.exists(report) else []
    return sorted((Step(**json.loads(line)) for line in lines), key=lambda s: s.nodes[-1])


def random_inputs(interpreter: Interpreter, seed: int = 0) -> list[np.ndarray]:
    """Random inputs of the model's shapes: floats of a normal distribution, or integers of the type's whole range."""
    rng = np.random.default_rng(seed)
    arrays = []
    for shape, dtype in zip(interpreter.input_shapes, interpreter.input_types, strict=True):
        if dtype == np.bool_:
            arrays.append(rng.integers(0, 2, shape).astype(dtype))
        elif np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            arrays.append(rng.integers(limits.min, limits.max, shape, dtype, endpoint=True))
        else:
            arrays.append(rng.normal(size=shape).astype(dtype))
    return arrays
