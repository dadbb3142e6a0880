"""The first pass of deployment: one flat graph in float32, in which every call says whether it is in training."""

from dataclasses import dataclass
from typing import Any

from bduo_tf import _graph
from bduo_tf._kinds import HALF_PRECISION
from bduo_tf.backend import keras, tf

__all__ = ["Inliner", "in_float32"]


def in_float32(config: Any) -> Any:
    """A layer's configuration in which float32 takes the place of half precision, in quantizers inside it too."""
    if isinstance(config, dict):
        return {k: _precision(v) if k == "dtype" else in_float32(v) for k, v in config.items()}
    if isinstance(config, list):
        return [in_float32(value) for value in config]
    if isinstance(config, tuple):
        return tuple(in_float32(value) for value in config)
    return config


def _precision(dtype: Any) -> Any:
    """A dtype or a policy's configuration; float32 for half and for mixed precision."""
    name = dtype["config"].get("name", "") if isinstance(dtype, dict) and "config" in dtype else dtype
    return "float32" if isinstance(name, str) and name.removeprefix("mixed_") in HALF_PRECISION else dtype


def _without_half(argument: Any) -> Any:
    """An argument of a call; float32 for a type of half precision, as tf.cast takes it, in loaded models by name."""
    name = argument.name if isinstance(argument, tf.DType) else argument
    return tf.float32 if isinstance(name, str) and name in HALF_PRECISION else argument


@dataclass(frozen=True, eq=False)
class _Tensor:
    """A tensor of the flat graph."""

    tensor: Any


class Inliner(_graph.GraphRewriter[Any]):
    """Copies a model, its nested models inlined."""

    caller = "to_lce_graph"

    def __init__(self) -> None:
        super().__init__()
        self._training: bool | None = None  # what the nested model being walked was called with

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
        # Layers of several nested models, now side by side, may bear the same name.
        return super().clone(layer, **{"name": self.unique_name(layer.name), **changes})

    def adapted(self, config: Any) -> Any:
        return in_float32(config)

    def convert(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _graph.is_graph(layer):
            inputs, others = _graph.call_inputs(layer, args, kwargs)
            outer, training = self._training, others.get("training")
            self._training = outer if training is None else training
            outputs = self.walk(layer, inputs)
            self._training = outer
            return outputs
        args, kwargs = tf.nest.map_structure(_without_half, (args, kwargs))
        if self._training is not None and layer._expects_training_arg and kwargs.get("training") is None:
            kwargs = {**kwargs, "training": self._training}
        return self.copy_call(layer, args, kwargs)
