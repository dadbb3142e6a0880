"""What each output of a model is: logits, probabilities of classes that exclude each other, or of independent ones."""

from typing import Any

from bduo_tf._kinds import NOT_AT_INFERENCE
from bduo_tf.backend import keras, tf

__all__ = ["KINDS", "output_kinds"]

KINDS = ("softmax", "sigmoid", "logits", "sigmoid_logits")
"""The kinds of scores: probabilities that sum to 1, independent probabilities, and the logits of either."""

_ACTIVATIONS = {
    keras.activations.softmax: "softmax",
    tf.nn.softmax: "softmax",
    keras.activations.sigmoid: "sigmoid",
    tf.nn.sigmoid: "sigmoid",
    keras.activations.linear: "logits",
}
# TensorFlow's operations by the last part of their names, which is softmax for nn.softmax.
_OPERATIONS = {"softmax": "softmax", "sigmoid": "sigmoid"}
# These change no value at inference, only perhaps the shape.
_UNCHANGED_OPERATIONS = ("cast", "identity", "reshape", "squeeze", "expand_dims")
_UNCHANGED = (keras.layers.Reshape, keras.layers.Flatten, *NOT_AT_INFERENCE)
# The average of the scores of several places is a score of the same kind.
_AVERAGES = (
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
)


def output_kinds(model: keras.Model) -> tuple[str | None, ...]:
    """Returns one of `KINDS` for each output, in order; None where the layers do not tell.

    Args:
        model: a graph without nested models, such as `Deployment.binary`.
    """
    return tuple(map(_kind, model.outputs))


def _kind(output: Any) -> str | None:
    tensor = output
    while True:
        layer, node_index, _ = tensor._keras_history
        node = layer._inbound_nodes[node_index]
        if not _changes_nothing(layer):
            break
        tensor = node.keras_inputs[0]
    kind = _of_call(layer, node)
    if kind == "sigmoid":
        return kind
    # Scores of classes that exclude each other stand side by side in the last axis. A single unit has no other beside
    # it, and an axis that came about by a change of shape may go over several places.
    classes = output.shape[-1] if len(output.shape) else None
    if kind is None or classes is None or classes < 2 or classes != tensor.shape[-1]:
        return None
    return kind if kind == "softmax" or len(output.shape) == 2 else None


def _changes_nothing(layer: keras.layers.Layer) -> bool:
    """Whether a layer leaves scores what they are, perhaps in another shape."""
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return isinstance(layer, (*_UNCHANGED, *_AVERAGES)) or _operation(layer) in _UNCHANGED_OPERATIONS


def _operation(layer: keras.layers.Layer) -> str:
    """The name of the TensorFlow operation that a layer stands for; empty for other layers."""
    return str(getattr(layer, "symbol", None) or "").split(".")[-1]


def _of_call(layer: keras.layers.Layer, node: Any) -> str | None:
    """The kind of scores that a call computes which does more than change the shape."""
    axis = -1
    if isinstance(layer, keras.layers.Softmax):
        kind, axis = "softmax", layer.axis
    elif (operation := _operation(layer)) in _OPERATIONS:
        kind, axis = _OPERATIONS[operation], node.call_kwargs.get("axis", -1)
    elif isinstance(layer, keras.layers.BatchNormalization):
        return "logits"
    else:
        activation = getattr(layer, "activation", None)
        return next((kind for known, kind in _ACTIVATIONS.items() if activation is known), None)
    rank = len(node.outputs.shape)
    return None if kind == "softmax" and axis not in (-1, None, rank - 1, [-1], [rank - 1]) else kind
