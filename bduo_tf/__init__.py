"""BinaryDuo (Kim et al., ICLR 2020) for TensorFlow/Keras: train coupled, decouple, deploy with binary kernels."""

from bduo_tf import mismatch, networks
from bduo_tf._version import __version__
from bduo_tf.decoupling import decouple
from bduo_tf.deployment import to_lce_graph
from bduo_tf.layers import ThresholdSplit
from bduo_tf.quantizers import CoupledStep, ScaledSign

__all__ = [
    "CoupledStep",
    "ScaledSign",
    "ThresholdSplit",
    "__version__",
    "decouple",
    "mismatch",
    "networks",
    "to_lce_graph",
]
