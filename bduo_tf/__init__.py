"""BinaryDuo (Kim et al., ICLR 2020) for TensorFlow/Keras: train coupled, decouple, deploy with binary kernels."""

import importlib
from typing import TYPE_CHECKING, Any

from bduo_tf import mismatch, networks
from bduo_tf._version import __version__
from bduo_tf.coupling import couple, coupling_report
from bduo_tf.decoupling import decouple
from bduo_tf.deployment import to_lce_graph
from bduo_tf.layers import ThresholdSplit
from bduo_tf.quantizers import CoupledStep, ScaledSign

__all__ = [
    "CoupledStep",
    "ScaledSign",
    "ThresholdSplit",
    "__version__",
    "conversion",
    "couple",
    "coupling_report",
    "decouple",
    "mismatch",
    "networks",
    "to_lce_graph",
    "to_tflite",
]

if TYPE_CHECKING:
    from bduo_tf import conversion
    from bduo_tf.conversion import to_tflite


def __getattr__(name: str) -> Any:
    """Imports conversion only when it is asked for: training does without it."""
    if name in ("conversion", "to_tflite"):
        conversion = importlib.import_module("bduo_tf.conversion")
        return conversion if name == "conversion" else conversion.to_tflite
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
