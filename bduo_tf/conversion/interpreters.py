"""What runs a .tflite file, to compare it with Keras: LCE's own interpreter, and bduo_runtime's if installed."""

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from bduo_tf.conversion.errors import ConversionError
from bduo_tf.conversion.operators import read_operators
from bduo_tf.conversion.tflite import quiet, reason

__all__ = ["Interpreter", "in_batches", "interpreters", "lce_interpreter", "require_runnable"]


class Interpreter(Protocol):
    """What runs a file.

    predict(inputs) takes an array (batch, ...), such as images (batch, height, width, channels), or of a model of
    several inputs a list of such, and returns an array (batch, ...), such as logits (batch, classes), or a list.
    """

    def predict(self, inputs: Any) -> Any: ...


class _LceInterpreter:
    """LCE's own, whose `predict` knows no batch but 1."""

    def __init__(self, file: bytes) -> None:
        from larq_compute_engine.tflite.python.interpreter import Interpreter as LceInterpreter

        self._running = LceInterpreter(file)

    def predict(self, inputs: Any) -> Any:
        arrays = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        shape = self._running.input_shapes[0]
        outputs = in_batches(self._running.interpreter.predict, arrays, shape[0] if len(shape) else 1)
        return outputs if len(outputs) > 1 else outputs[0]


def lce_interpreter(file: bytes) -> Interpreter:
    """LCE's own."""
    return _LceInterpreter(file)


def _runtime_interpreter(file: bytes) -> Interpreter:
    from bduo_runtime import Interpreter as RuntimeInterpreter

    return RuntimeInterpreter(file)


def interpreters() -> Mapping[str, Callable[[bytes], Interpreter]]:
    """Those to verify with, by name: LCE's, and bduo_runtime's where it is installed."""
    installed = importlib.util.find_spec("bduo_runtime") is not None
    return {"LCE": lce_interpreter} | ({"bduo_runtime": _runtime_interpreter} if installed else {})


def require_runnable(file: bytes) -> None:
    """Fails before the long work if a file has operators that give wrong results, or that no interpreter knows.

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
            except Exception as error:
                raise ConversionError(f"{name}'s interpreter cannot run the file: {reason(log, error)}") from error


def in_batches(
    run: Callable[[list[np.ndarray]], list[np.ndarray]], inputs: list[np.ndarray], size: int
) -> list[np.ndarray]:
    """What `run`, which takes batches of exactly `size`, gives for a batch of any size.

    The last batch is filled up with its last image, and what comes of that is cut off.
    """
    parts = []
    for start in range(0, len(inputs[0]), size):
        part = [x[start : start + size] for x in inputs]
        count = len(part[0])
        full = [np.concatenate([x, np.repeat(x[-1:], size - count, axis=0)]) for x in part]
        parts.append([y[:count] if len(y) == size else y for y in run(full)])
    return [np.concatenate(some) for some in zip(*parts, strict=True)]
