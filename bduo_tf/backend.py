"""The one place that chooses Keras 2. Every module imports TensorFlow, Keras and Larq from here.

Larq builds on Keras 2, which TensorFlow >= 2.16 only offers as the package tf-keras, and only when
TF_USE_LEGACY_KERAS=1 was set before TensorFlow was imported.
"""

import os
import sys
from typing import TypeVar

_chosen_before = "tensorflow" in sys.modules
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf  # noqa: E402

# TensorFlow chooses between Keras 2 and 3 twice: for `tf.keras` when that is first used, and for
# `import tensorflow.keras`, which Larq does, when TensorFlow is imported. Both must be Keras 2.
from tensorflow.keras.layers import Layer as _ImportedLayer  # noqa: E402

if any(layer.__module__.startswith("keras.") for layer in (tf.keras.layers.Layer, _ImportedLayer)):
    raise ImportError(
        "bduo_tf needs Keras 2, but TensorFlow was already using Keras 3"
        + (
            ": it was imported before bduo_tf. Import bduo_tf first, or set the environment variable "
            "TF_USE_LEGACY_KERAS=1 before the first `import tensorflow`."
            if _chosen_before
            else f": TF_USE_LEGACY_KERAS is {os.environ['TF_USE_LEGACY_KERAS']!r}. Set it to 1, or leave it unset."
        )
    )

import larq as lq  # noqa: E402

keras = tf.keras

_Class = TypeVar("_Class", bound=type)


def serializable(kind: _Class) -> _Class:
    """Registers a class with Keras, so that model files of every format that hold it load without `custom_objects`."""
    keras.utils.register_keras_serializable("bduo_tf")(kind)
    keras.utils.get_custom_objects()[kind.__name__] = kind  # HDF5 files have quantizers' names without the package's
    return kind


__all__ = ["keras", "lq", "serializable", "tf"]
