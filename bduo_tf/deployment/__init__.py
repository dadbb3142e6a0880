"""A binary network in, the same function in the +1/-1 arithmetic that LCE runs out."""

from bduo_tf.deployment._deploy import deploy, flipped_activations, to_lce_graph
from bduo_tf.deployment._deployment import Deployment, FloatLayer, Reader
from bduo_tf.deployment._inlining import in_float32

__all__ = ["Deployment", "FloatLayer", "Reader", "deploy", "flipped_activations", "in_float32", "to_lce_graph"]
