"""From the model that was given to the one that is converted: of float32 and of known size, decoupled, deployed."""

from typing import Any

from bduo_tf import _graph, decouple
from bduo_tf._kinds import HALF_PRECISION
from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError, explained
from bduo_tf.deployment import Deployment, deploy, flat_float32

__all__ = ["as_float32", "decoupled", "deployed", "image_size", "input_shapes", "sized"]


def image_size(text: str) -> tuple[int, int]:
    """Reads "N" or "HxW" as (height, width).

    Raises:
        ValueError: the text is neither.
    """
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0], sides[-1]


def as_float32(model: keras.Model) -> keras.Model:
    """Returns a model that computes the same in float32; the model itself if it has no half precision.

    It is done before decoupling, which relies on exact copies of values near a threshold.

    Raises:
        ConversionError: the model cannot be built again in float32.
    """
    if not any(layer.compute_dtype in HALF_PRECISION for layer in model._flatten_layers()):
        return model
    with explained(f"Model {model.name!r} computes in half precision and cannot be built again in float32"):
        return flat_float32(model)


def input_shapes(model: keras.Model, size: tuple[int, int] | None = None) -> list[tuple[int, ...]]:
    """Returns the shape of each input without the batch, all sizes known.

    Args:
        model: any model.
        size: (height, width) for the inputs that leave them open; None if it was not given.

    Raises:
        ConversionError: an input is of unknown size, or `size` is for none of them.
    """
    inputs = list(model.inputs or [])
    if not inputs:
        raise ConversionError(f"Model {model.name!r} has no inputs that are known before it is called.")
    shapes = [tuple(t.shape[1:]) for t in inputs]
    if all(None not in shape for shape in shapes):
        if size is not None and all(shape[:2] != size for shape in shapes):
            known = ", ".join(map(str, shapes))
            raise ConversionError(f"`image_size` is for inputs of unknown size; model {model.name!r} takes {known}.")
        return shapes
    for tensor, shape in zip(inputs, shapes, strict=True):
        image = len(shape) == 3 and shape[2] is not None
        if None in shape and (not image or size is None):
            way = "Give one: `image_size=(height, width)`." if image else "Build it with all sizes known but the batch."
            raise ConversionError(f"Model {model.name!r} has inputs of unknown size: {tuple(tensor.shape)}. {way}")
    return [_filled(shape, size) for shape in shapes]


def _filled(shape: tuple[int | None, ...], size: tuple[int, int] | None) -> tuple[Any, ...]:
    if None not in shape or size is None:
        return shape
    return (*(known or given for known, given in zip(shape[:2], size, strict=True)), shape[2])


def sized(model: keras.Model, size: tuple[int, int] | None) -> keras.Model:
    """Returns the model at a known size of its images; the model itself if it has one.

    The arguments and errors are those of `input_shapes`. Besides, a model may be unable to take images of that size.
    """
    shapes = input_shapes(model, size)
    if all(tuple(t.shape[1:]) == shape for t, shape in zip(model.inputs, shapes, strict=True)):
        return model
    with explained(f"Model {model.name!r} cannot take images of {'x'.join(map(str, size or ()))}"):
        fixed = [
            keras.Input(batch_shape=(t.shape[0], *shape), dtype=t.dtype, name=t._keras_history.layer.name)
            for t, shape in zip(model.inputs, shapes, strict=True)
        ]
        nested = tf.nest.pack_sequence_as(model._nested_inputs, fixed)
        return keras.Model(nested, model(nested), name=model.name)


def decoupled(model: keras.Model) -> keras.Model:
    """Returns the model with its coupled activations taken apart; the model itself if it has none.

    Raises:
        ConversionError: it cannot be decoupled; the message names the layer.
    """
    if _graph.coupled_inside(model) is None:
        return model
    with explained(f"Model {model.name!r} cannot be decoupled"):
        return decouple(model)


def deployed(model: keras.Model, *, allow_float: bool = False) -> Deployment:
    """Returns the deployment graph of a binary model, and what corresponds in the two.

    Args:
        model: a binary model.
        allow_float: whether layers may stay float though a binary activation stands before them.

    Raises:
        ConversionError: it cannot be deployed, or a layer would stay float; the message names the layer.
    """
    try:
        with explained(f"Model {model.name!r} cannot be deployed"):
            deployment = deploy(model)
    except ConversionError as error:
        if _graph.coupled_inside(model) is not None:
            raise ConversionError(f"{error} Or pass `decouple=True`, which fine-tunes nothing.") from error
        raise
    unexpected = [layer for layer in deployment.floats if layer.from_step]
    if unexpected and not allow_float:
        named = "; ".join(f"layer {layer.name!r} would stay float: {layer.reason}" for layer in unexpected)
        raise ConversionError(f"Model {model.name!r}: {named}. Pass `allow_float=True` to convert it all the same.")
    return deployment
