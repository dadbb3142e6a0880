"""The first pass of deployment: one flat graph in float32, in which every call says whether it is in training."""

from dataclasses import dataclass, replace
from typing import Any

from bduo_tf import _graph
from bduo_tf._kinds import HALF_PRECISION
from bduo_tf.backend import keras, tf

__all__ = ["Inliner", "in_float32"]


def in_float32(config: Any) -> Any:
    """Replaces half precision by float32 in a layer's configuration, and in those of the quantizers inside it."""
    if isinstance(config, dict):
        return {k: _precision(v) if k == "dtype" else in_float32(v) for k, v in config.items()}
    if isinstance(config, list):
        return [in_float32(value) for value in config]
    if isinstance(config, tuple):
        return tuple(in_float32(value) for value in config)
    return config


def _precision(dtype: Any) -> Any:
    """Returns "float32" for a half-precision or mixed-precision policy (its name or configuration), else the policy."""
    name = dtype["config"].get("name", "") if isinstance(dtype, dict) and "config" in dtype else dtype
    return "float32" if isinstance(name, str) and name.removeprefix("mixed_") in HALF_PRECISION else dtype


def _without_half(argument: Any) -> Any:
    """Returns tf.float32 for a half-precision type among a call's arguments, else the argument.

    tf.cast takes such a type. In a model that was loaded it stands by its name.
    """
    name = argument.name if isinstance(argument, tf.DType) else argument
    return tf.float32 if isinstance(name, str) and name in HALF_PRECISION else argument


@dataclass(frozen=True, eq=False)
class _Tensor:
    """A tensor of the flat graph."""

    tensor: Any


class Inliner(_graph.GraphRewriter[Any]):
    """Copies a model in float32, with the calls of nested models in place of these."""

    caller = "to_lce_graph"

    def is_value(self, x: Any) -> bool:
        return isinstance(x, _Tensor)

    def wrap(self, tensor: Any) -> Any:
        return _Tensor(tensor)

    def unwrap(self, value: Any) -> Any:
        return value.tensor

    def input_like(self, tensor: Any, channels: int | None = None) -> Any:
        like = super().input_like(tensor, channels)
        if like.dtype.name not in HALF_PRECISION:
            return like
        return keras.Input(batch_shape=like.shape, dtype="float32", name=tensor._keras_history.layer.name)

    def clone(self, layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
        # Layers of different nested models, which may have the same name, end up in one model.
        return super().clone(layer, **{"name": self.unique_name(layer.name), **changes})

    def adapted(self, config: Any) -> Any:
        return in_float32(config)

    def convert(self, call: _graph.Call) -> Any:
        layer = call.layer
        if _graph.is_graph(layer):
            inputs, others = _graph.call_inputs(layer, call.args, call.kwargs)
            training = others.get("training")
            return self.walk(layer, inputs, call.training if training is None else training)
        args, kwargs = tf.nest.map_structure(_without_half, (call.args, call.kwargs))
        if call.training is not None and layer._expects_training_arg and kwargs.get("training") is None:
            kwargs = {**kwargs, "training": call.training}
        return self.copy_call(replace(call, args=args, kwargs=kwargs))
