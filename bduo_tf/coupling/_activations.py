"""Which activations of a network are binary, and so can be coupled."""

from typing import Any

from bduo_tf import _graph
from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, lq
from bduo_tf.quantizers import is_sign, step_of

__all__ = ["binary_activation", "binary_input"]

_KNOWN = "ste_sign, approx_sign, swish_sign, SteHeaviside, DoReFa(1) or bduo_tf.CoupledStep(1)"


def _gradient(quantizer: Any) -> str | None:
    """The backward pass that a binary activation has, as `CoupledStep` names it; None if it is no binary activation."""
    step = step_of(quantizer)
    if step is not None and step.levels == 1:
        return step.gradient
    if not is_sign(quantizer):
        return None
    if is_exactly(quantizer, lq.quantizers.ApproxSign) or quantizer is lq.quantizers.approx_sign:
        return "approx_sign"
    if is_exactly(quantizer, lq.quantizers.SwishSign) or quantizer is lq.quantizers.swish_sign:
        return "swish_sign"
    return "relu1"


def binary_activation(layer: keras.layers.Layer) -> str | None:
    """The backward pass of a layer that is a binary activation; None of one that is not."""
    return _gradient(_graph.activation_of(layer))


def binary_input(layer: keras.layers.Layer) -> str | None:
    """The backward pass of a layer's binary `input_quantizer`; None if it has no quantizer there, or one of more bits.

    Raises:
        ValueError: the quantizer is binary but not known, or a binary activation is elsewhere in the layer.
    """
    quantizer = getattr(layer, "input_quantizer", None)
    gradient = _gradient(quantizer)
    if gradient is None and getattr(quantizer, "precision", None) == 1:
        raise ValueError(
            f"couple: layer {layer.name!r} has the binary activation {type(quantizer).__name__}, which is not known. "
            f"Use {_KNOWN} as its input_quantizer."
        )
    if not is_exactly(layer, keras.layers.Activation) and _gradient(getattr(layer, "activation", None)) is not None:
        raise ValueError(
            f"couple: layer {layer.name!r} has a binary activation as its argument `activation`. Make it a layer of "
            "its own behind this one, or the input_quantizer of the layers that read it."
        )
    return gradient
