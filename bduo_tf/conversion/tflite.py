"""Keras models to TFLite files in memory: LCE's converter, and TFLite's own for the float and int8 peers."""

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import numpy as np

from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError, first_line
from bduo_tf.conversion.signature import Names, names_of, save_with_signature, with_order

__all__ = ["convert_float32", "convert_int8", "convert_lce", "quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[IO[bytes]]:
    """Keeps the converters' own chatter, partly written by C++ to file descriptor 2, off the terminal.

    Yields:
        A file of what was written there, for `reason` to find what went wrong.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    level = tf.get_logger().level
    tf.get_logger().setLevel(logging.ERROR)
    try:
        with tempfile.TemporaryFile() as log, open(os.devnull, "w") as null, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.redirect_stdout(null):
                os.dup2(log.fileno(), 2)
                yield log
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        tf.get_logger().setLevel(level)


def reason(log: IO[bytes], error: Exception) -> str:
    """What went wrong in one line: the first error that C++ wrote, else what Python raised."""
    log.seek(0)
    for line in log.read().decode(errors="replace").splitlines():
        # MLIR's "loc(...): error: WHAT", which may name a place of many lines' length, and TFLite's "ERROR: WHAT".
        if found := re.search(r"(?:^|: )error: (.+)|^ERROR: (.+)", line):
            return (found[1] or found[2]).strip()
    return first_line(error)


def convert_lce(graph: keras.Model, names: Names | None = None) -> bytes:
    """The file of a deployment graph, written by Larq Compute Engine's converter.

    Args:
        graph: what `bduo_tf.to_lce_graph` returns.
        names: of its inputs and outputs, in whose order the file has them; None for the graph's own.

    Raises:
        ConversionError: it cannot be converted; the message has the converter's reason.
    """
    import larq_compute_engine as lce

    return _convert(graph, names, lce.convert_saved_model, "Larq Compute Engine's converter")


def convert_float32(model: keras.Model, names: Names | None = None) -> bytes:
    """The float32 file of a model, written by TFLite's own converter; arguments and errors as of `convert_lce`."""
    return _convert(model, names, lambda folder: _converter(folder).convert())


def convert_int8(model: keras.Model, images: Iterable[Any], names: Names | None = None) -> bytes:
    """The int8 file of a model (post-training quantization, float32 inputs and outputs).

    Args:
        model: any model.
        images: some images (height, width, channels) to calibrate the ranges of activations with; of a model of
            several inputs tuples of what it takes.
        names: as of `convert_lce`.

    Raises:
        ConversionError: it cannot be converted; the message has the converter's reason.
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
    """Saves the model, converts what was saved, and gives the file the model's order of inputs and outputs."""
    names = names or names_of(model)
    # Loops, such as recurrent layers that are not unrolled, need a batch of known size.
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
