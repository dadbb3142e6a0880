"""The interpreters that can run a converted file: Larq Compute Engine's, and bduo_runtime's where it is installed."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from bduo_tf.conversion.errors import ConversionError, required
from bduo_tf.conversion.operators import read_operators
from bduo_tf.conversion.tflite import quiet, reason

__all__ = ["Interpreter", "in_batches", "interpreters", "lce_interpreter", "require_runnable"]


class Interpreter(Protocol):
    """An object that runs one file."""

    def predict(self, inputs: Any) -> Any:
        """Computes the outputs for a batch.

        Args:
            inputs: array (batch, ...), such as images (batch, height, width, channels). A model of several inputs
                takes a list of such arrays.

        Returns:
            Array (batch, ...), such as logits (batch, classes). A model of several outputs gives a list of such arrays.
        """
        ...


class _LceInterpreter:
    """LCE's own interpreter. Its `predict` knows only the batch size that the file has, which is mostly 1."""

    def __init__(self, file: bytes) -> None:
        self._running = required("larq_compute_engine.tflite.python.interpreter").Interpreter(file)

    def predict(self, inputs: Any) -> Any:
        arrays = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        shape = self._running.input_shapes[0]
        outputs = in_batches(self._running.interpreter.predict, arrays, shape[0] if len(shape) else 1)
        return outputs if len(outputs) > 1 else outputs[0]


def lce_interpreter(file: bytes) -> Interpreter:
    """Returns Larq Compute Engine's own interpreter for a file."""
    return _LceInterpreter(file)


def _runtime_interpreter(file: bytes) -> Interpreter:
    required("ai_edge_litert")
    from bduo_runtime import Interpreter as RuntimeInterpreter

    return RuntimeInterpreter(file)


def interpreters() -> Mapping[str, Callable[[bytes], Interpreter]]:
    """Returns what makes an interpreter of a file's content, by the interpreter's name.

    LCE's is always among them, since its package also holds the converter. bduo_runtime's is there if that package,
    which is not on PyPI, is installed.
    """
    installed = importlib.util.find_spec("bduo_runtime") is not None
    return {"LCE": lce_interpreter} | ({"bduo_runtime": _runtime_interpreter} if installed else {})


def require_runnable(file: bytes) -> None:
    """Finds out, before the long verification, whether a file has operators that no interpreter can run rightly.

    Raises:
        ConversionError: an operator keeps state, or an interpreter cannot load the file; the message has its reason.
    """
    for operator in read_operators(file):
        if any(tensor is not None and tensor.state for tensor in operator.inputs):
            raise ConversionError(
                f"The model becomes the operator {operator.name}, whose state passes from one image to the next. Build "
                "its recurrent layers with unroll=True."
            )
    for name, make in interpreters().items():
        with quiet() as log:
            try:
                make(file)
            except ConversionError:
                raise
            except Exception as error:
                raise ConversionError(f"{name}'s interpreter cannot run the file: {reason(log, error)}") from error


def in_batches(
    run: Callable[[list[np.ndarray]], list[np.ndarray]], inputs: list[np.ndarray], size: int
) -> list[np.ndarray]:
    """Runs a function that takes batches of exactly one size on a batch of any size.

    The last part is filled up with copies of its last image, and their outputs are cut off again.

    Args:
        run: takes a list of arrays (size, ...), one for each input, and returns one such array for each output.
        inputs: for each input an array (batch, ...).
        size: the size of the batches that `run` takes.

    Returns:
        For each output an array (batch, ...).
    """
    parts = []
    for start in range(0, len(inputs[0]), size):
        part = [x[start : start + size] for x in inputs]
        count = len(part[0])
        full = [np.concatenate([x, np.repeat(x[-1:], size - count, axis=0)]) for x in part]
        parts.append([y[:count] if len(y) == size else y for y in run(full)])
    return [np.concatenate(some) for some in zip(*parts, strict=True)]
