"""Keras models to TFLite files in memory: LCE's converter, and TFLite's own for the float and int8 peers."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator

import numpy as np

from bduo_tf._keras import keras, tf

__all__ = ["convert_float32", "convert_int8", "convert_lce", "quiet"]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the converters' own chatter, partly written by C++ to file descriptor 2, off the terminal."""
    sys.stderr.flush()
    saved = os.dup(2)
    level = tf.get_logger().level
    tf.get_logger().setLevel(logging.ERROR)
    try:
        with open(os.devnull, "w") as null, warnings.catch_warnings(), contextlib.redirect_stdout(null):
            warnings.simplefilter("ignore")
            os.dup2(null.fileno(), 2)
            yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        tf.get_logger().setLevel(level)


def convert_lce(graph: keras.Model) -> bytes:
    """The file of a deployment graph, written by Larq Compute Engine's converter."""
    import larq_compute_engine as lce

    with quiet(), tempfile.TemporaryDirectory() as folder:
        # lce.convert_keras_model saves all that training would need, four fifths of its time: benchmarks/conversion.py.
        graph.export(folder)
        return lce.convert_saved_model(folder)


def convert_float32(model: keras.Model) -> bytes:
    """The float32 file of a model."""
    with quiet():
        return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def convert_int8(model: keras.Model, images: Iterable[np.ndarray]) -> bytes:
    """The int8 file of a model (post-training quantization, float32 input and output).

    Args:
        model: a model with one input.
        images: some images (height, width, channels) to calibrate the ranges of activations with.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with quiet():
        return converter.convert()
