"""Keras models to TFLite files in memory: by LCE's converter, and by TFLite's own for float32 and int8 files."""

import contextlib
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import numpy as np

from bduo_terminal import set_aside
from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError, required
from bduo_tf.conversion.signature import Names, names_of, save_with_signature, with_order
from bduo_tf.messages import first_line

__all__ = ["convert_float32", "convert_int8", "convert_lce", "quiet", "reason"]


@contextlib.contextmanager
def quiet() -> Iterator[IO[bytes]]:
    """Keeps what the converters write, partly by C++ to file descriptor 2, off the terminal.

    Yields:
        A file of what they wrote to descriptor 2, in which `reason` finds what went wrong.
    """
    level = tf.get_logger().level
    before, log = set_aside()
    try:
        tf.get_logger().setLevel(logging.ERROR)
        with log, open(os.devnull, "w") as null, warnings.catch_warnings(), contextlib.redirect_stdout(null):
            warnings.simplefilter("ignore")
            yield log
    finally:
        os.dup2(before, 2)
        os.close(before)
        tf.get_logger().setLevel(level)


def reason(log: IO[bytes], error: Exception) -> str:
    """Says what went wrong in one line: the first error that C++ wrote, or else the exception's message.

    Args:
        log: what `quiet` yields.
        error: the exception that Python raised.
    """
    log.seek(0)
    for line in log.read().decode(errors="replace").splitlines():
        # MLIR writes "loc(...): error: WHAT", where the location may go over many lines, and TFLite "ERROR: WHAT".
        if found := re.search(r"(?:^|: )error: (.+)|^ERROR: (.+)", line):
            return (found[1] or found[2]).strip()
    return first_line(error)


def convert_lce(graph: keras.Model, names: Names | None = None) -> bytes:
    """Converts a deployment graph by Larq Compute Engine's converter.

    Args:
        graph: what `bduo_tf.to_lce_graph` returns.
        names: the names of its inputs and outputs, in the order that they get in the file; None for the graph's own.

    Returns:
        The content of the .tflite file.

    Raises:
        ConversionError: the graph cannot be converted, and the message has the converter's reason; or Larq Compute
            Engine is not installed.
    """
    converter = required("larq_compute_engine")
    return _convert(graph, names, converter.convert_saved_model, "Larq Compute Engine's converter")


def convert_float32(model: keras.Model, names: Names | None = None) -> bytes:
    """Converts a model by TFLite's own converter to float32; the arguments and errors are those of `convert_lce`."""
    return _convert(model, names, lambda folder: _converter(folder).convert())


def convert_int8(model: keras.Model, images: Iterable[Any], names: Names | None = None) -> bytes:
    """Converts a model to int8, by post-training quantization with float32 inputs and outputs.

    Args:
        model: any model.
        images: some images (height, width, channels), from which the converter learns the ranges of activations. For a
            model of several inputs tuples of what it takes.
        names: see `convert_lce`.

    Returns:
        The content of the .tflite file.

    Raises:
        ConversionError: the model cannot be converted; the message has the converter's reason.
    """
    names = names or names_of(model)

    def examples() -> Iterator[dict[str, np.ndarray]]:
        for image in images:
            inputs = image if isinstance(image, tuple) else (image,)
            yield {name: x[None] for name, x in zip(names.inputs, inputs, strict=True)}

    def convert(folder: str) -> bytes:
        converter = _converter(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()

    return _convert(model, names, convert)


def _converter(folder: str) -> Any:
    return tf.lite.TFLiteConverter.from_saved_model(folder)


def _convert(
    model: keras.Model, names: Names | None, convert: Callable[[str], bytes], who: str = "TFLite's converter"
) -> bytes:
    """Saves a model, converts what was saved, and gives the file the model's order of inputs and outputs."""
    names = names or names_of(model)
    # Loops, such as recurrent layers that are not unrolled, can only be converted with a batch of known size.
    batches = (None, 1) if any(t.shape[0] is None for t in model.inputs) else (None,)
    failure: ConversionError | None = None
    for batch in batches:
        with quiet() as log, tempfile.TemporaryDirectory() as folder:
            try:
                save_with_signature(model, folder, names, batch)
                return with_order(convert(folder), names)
            except ConversionError:
                raise
            except Exception as error:
                failure = failure or ConversionError(f"{who} cannot convert the model: {reason(log, error)}")
    assert failure is not None
    raise failure
