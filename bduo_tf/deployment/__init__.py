"""A binary network in, the same function in the +1/-1 arithmetic that LCE runs out."""

from bduo_tf.deployment._deploy import deploy, flat_float32, flipped_activations, to_lce_graph
from bduo_tf.deployment._deployment import Deployment, FloatLayer, Reader

__all__ = ["Deployment", "FloatLayer", "Reader", "deploy", "flat_float32", "flipped_activations", "to_lce_graph"]
