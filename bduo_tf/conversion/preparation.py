"""From the model that was loaded to the one that is converted: float32, of a known size, decoupled, deployed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bduo_tf import _graph, decouple
from bduo_tf.backend import keras, tf
from bduo_tf.conversion.errors import ConversionError, first_line
from bduo_tf.deployment import Deployment, deploy, in_float32

__all__ = ["as_float32", "decoupled", "deployed", "explained", "image_size", "sized"]

_HALF = ("float16", "bfloat16")


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Makes any other exception a `ConversionError` of one line."""
    try:
        yield
    except ConversionError:
        raise
    except Exception as error:
        # The messages of ValueError are for the user, those of others mean something beside their class alone.
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ConversionError(f"{what}: {kind}{first_line(error)}") from error


def image_size(text: str) -> tuple[int, int]:
    """(height, width) of "N" or "HxW".

    Raises:
        ValueError: the text is neither.
    """
    sides = [int(side) for side in text.lower().split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0], sides[-1]


def as_float32(model: keras.Model) -> keras.Model:
    """The model with all that it computes in half precision in float32: neither LCE nor TFLite has kernels for that.

    Raises:
        ConversionError: it cannot be built again in float32.
    """
    if not any(layer.compute_dtype in _HALF for layer in model._flatten_layers()):
        return model
    with explained(f"Model {model.name!r} computes in half precision and cannot be built again in float32"):
        with keras.utils.custom_object_scope({type(layer).__name__: type(layer) for layer in model._flatten_layers()}):
            again = type(model).from_config(in_float32(model.get_config()))
        again.set_weights(model.get_weights())
        return again


def sized(model: keras.Model, size: tuple[int, int] | None) -> keras.Model:
    """The model at a known size of its images.

    Args:
        model: any model.
        size: (height, width) for inputs that leave them open; None if it was not given.

    Raises:
        ConversionError: inputs are of unknown size, or `size` is for nothing.
    """
    inputs = list(model.inputs or [])
    if not inputs:
        raise ConversionError(f"Model {model.name!r} has no inputs that are known before it is called.")
    unknown = [t for t in inputs if None in t.shape[1:]]
    if not unknown:
        if size is not None and all(tuple(t.shape[1:3]) != size for t in inputs):
            shapes = ", ".join(str(tuple(t.shape[1:])) for t in inputs)
            raise ConversionError(f"--image-size is for inputs of unknown size; model {model.name!r} takes {shapes}.")
        return model
    for tensor in unknown:
        image = len(tensor.shape) == 4 and tensor.shape[3] is not None
        if not image or size is None:
            way = "Give one: --image-size N or HxW." if image else "Build it with all sizes known but the batch."
            raise ConversionError(f"Model {model.name!r} has inputs of unknown size: {tuple(tensor.shape)}. {way}")
    assert size is not None
    with explained(f"Model {model.name!r} cannot take images of {size[0]}x{size[1]}"):
        fixed = [
            keras.Input(batch_shape=_at(t.shape, size), dtype=t.dtype, name=t._keras_history.layer.name) for t in inputs
        ]
        nested = tf.nest.pack_sequence_as(model._nested_inputs, fixed)
        return keras.Model(nested, model(nested), name=model.name)


def _at(shape: Any, size: tuple[int, int]) -> tuple[int | None, ...]:
    if None not in shape[1:]:
        return tuple(shape)
    return (shape[0], *(known or given for known, given in zip(shape[1:3], size, strict=True)), shape[3])


def decoupled(model: keras.Model) -> keras.Model:
    """The model with its coupled activations taken apart; itself if it has none.

    Raises:
        ConversionError: it cannot be decoupled; the message names the layer.
    """
    if _graph.coupled_inside(model) is None:
        return model
    with explained(f"Model {model.name!r} cannot be decoupled"):
        return decouple(model)


def deployed(model: keras.Model, *, allow_float: bool = False) -> Deployment:
    """The deployment graph and what corresponds in it.

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
            raise ConversionError(f"{error} Or pass --decouple, which fine-tunes nothing.") from error
        raise
    unexpected = [layer for layer in deployment.floats if layer.from_step]
    if unexpected and not allow_float:
        named = "; ".join(f"layer {layer.name!r} would stay float: {layer.reason}" for layer in unexpected)
        raise ConversionError(f"Model {model.name!r}: {named}. Pass --allow-float to convert it all the same.")
    return deployment
