"""The one place that chooses Keras 2. Every module imports TensorFlow, Keras and Larq from here.

Larq builds on Keras 2, which TensorFlow >= 2.16 only offers as the package tf-keras, and only when
TF_USE_LEGACY_KERAS=1 was set before TensorFlow was imported.
"""

import os
import sys

_chosen_before = "tensorflow" in sys.modules
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf  # noqa: E402

# tf.keras is chosen when it is first used, but `import tensorflow.keras`, which Larq does, when TensorFlow is imported.
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

__all__ = ["keras", "lq", "tf"]
