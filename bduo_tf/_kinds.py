"""What rewriting a graph relies on: whether an object computes what its class does, and which layers only train."""

from typing import Any

from bduo_tf.backend import keras

__all__ = ["HALF_PRECISION", "KNOWN_MODULES", "NOT_AT_INFERENCE", "TRAINING_ONLY", "is_exactly", "is_known"]

HALF_PRECISION = ("float16", "bfloat16")
"""The types that neither LCE nor TFLite has kernels for. A layer that computes in one is deployed in float32."""

TRAINING_ONLY = (
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)
"""Layers that act in training only: at inference they pass their input on unchanged."""

NOT_AT_INFERENCE = (
    *TRAINING_ONLY,
    *(
        getattr(keras.layers, f"Random{name}")
        for name in ("Brightness", "Contrast", "Flip", "Height", "Rotation", "Translation", "Width", "Zoom")
    ),
)
"""Those and the layers that augment images, which pass them on at inference too."""

KNOWN_MODULES = ("keras.", "tf_keras.", "larq.", "bduo_tf.")
"""How the modules begin whose classes compute what they are known to compute."""

# What a subclass may define and still compute the same as its base class.
_HARMLESS = {"__init__", "get_config", "from_config", "compute_output_shape", "compute_output_signature", "precision"}


def is_known(instance: Any) -> bool:
    """Whether an object computes what its nearest class of Keras, Larq or this package computes.

    A subclass from elsewhere may have another `call`, another `convolution_op` or another `kernel`. It counts as
    its base class only where it defines no more than its constructor and its configuration.
    """
    for kind in type(instance).__mro__:
        if f"{kind.__module__}.".startswith(KNOWN_MODULES):
            return True
        names = {name for name in vars(kind) if not (name.startswith("__") and name.endswith("__"))}
        if "__call__" in vars(kind) or not names <= _HARMLESS:
            return False
    return False


def is_exactly(instance: Any, kinds: type | tuple[type, ...]) -> bool:
    """Whether an object is an instance of one of `kinds` and computes what that class computes; see `is_known`."""
    return isinstance(instance, kinds) and is_known(instance)
