"""What a model consists of, who runs which operator, and how long each step of the delegate takes."""

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
    """An operator of the file."""

    index: int
    name: str
    shape: tuple[int, ...]  # of its output
    type: str


@dataclass(frozen=True)
class Step:
    """One pass of the delegate, which stands for one operator or several."""

    nodes: list[int]
    operators: list[str]
    kernel: str
    output: list[int]
    macs: int  # multiply-adds of a run
    runs: int
    nanoseconds: int  # of all runs

    @property
    def microseconds(self) -> float:
        """Of one run, in the mean."""
        return self.nanoseconds / 1e3 / max(1, self.runs)

    @property
    def title(self) -> str:
        """The operators, those that occur several times once."""
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
    """The delegate's steps, and their times in what `use` does with an interpreter (which it must not keep)."""
    with tempfile.TemporaryDirectory() as folder:
        report = os.path.join(folder, "report")
        interpreter = Interpreter(path, num_threads, report=report)
        use(interpreter)
        del interpreter
        gc.collect()
        lines = Path(report).read_text().splitlines() if os.path.exists(report) else []
    return sorted((Step(**json.loads(line)) for line in lines), key=lambda s: s.nodes[-1])


def random_inputs(interpreter: Interpreter, seed: int = 0) -> list[np.ndarray]:
    """Inputs in the file's own batch: normal floats, or integers over the type's whole range."""
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
