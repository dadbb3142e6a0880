"""Rewriting a Keras graph: what decoupling and deployment share. Knows nothing of either."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np

from bduo_tf._kinds import is_exactly, is_known
from bduo_tf.backend import keras, lq, tf
from bduo_tf.quantizers import Step, step_of

Value = TypeVar("Value")


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose graph says what it computes: functional, or sequential and built."""
    graph = isinstance(layer, keras.Model) and bool(getattr(layer, "_is_graph_network", False))
    # A subclass of a functional model may train or test in its own way, but not call in one.
    return graph and (is_known(layer) or type(layer).call.__module__.startswith(("keras.", "tf_keras.")))


def require_graph(model: Any, caller: str) -> None:
    """Raises an error that says what to do unless `model` is a graph that `caller` can rewrite."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"{caller}: expected a Keras model, got {type(model).__name__}.")
    if isinstance(model, keras.Sequential) and not is_graph(model):
        raise ValueError(
            f"{caller}: sequential model {model.name!r} has no input shape yet. Add an Input layer or call "
            "build(input_shape) with every size of the channels known."
        )
    if not is_graph(model):
        raise ValueError(
            f"{caller}: model {model.name!r} is a subclass of keras.Model ({type(model).__name__}), whose graph "
            "cannot be read. Build it with the functional or the sequential API."
        )


def coupled_inside(layer: keras.layers.Layer) -> tuple[keras.layers.Layer, Step] | None:
    """The first activation of more than one level in a layer (as its quantizer or activation) or below it."""
    for sublayer in layer._flatten_layers():
        step = step_of(sublayer)
        if step is not None and step.levels > 1:
            return sublayer, step
    return None


def activation_of(layer: keras.layers.Layer) -> Any:
    """The quantizer a layer is when it is nothing else: itself, or what an Activation layer wraps."""
    return layer.activation if is_exactly(layer, keras.layers.Activation) else layer


def call_inputs(model: keras.Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """The inputs of one call of a nested model in the order of `model.inputs`, and all other arguments by name."""
    inputs, *rest = args
    return model._flatten_to_reference_inputs(inputs), {**dict(zip(("training", "mask"), rest, strict=False)), **kwargs}


def quantized_kernel(layer: keras.layers.Layer) -> np.ndarray:
    """The kernel as the layer's forward pass sees it, float32."""
    with lq.context.quantized_scope(True):
        return np.asarray(tf.convert_to_tensor(layer.kernel))


def latent_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """All weights of a layer in Keras' order, kernels before their quantization."""
    with lq.context.quantized_scope(False):
        return layer.get_weights()


def nodes(model: keras.Model) -> Iterator[Any]:
    """The layer calls of a graph, each after those it depends on."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps Larq from advising on the quantizers of copies, as it did when the layers were made that are copied."""
    logger = logging.getLogger("larq.layers_base")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _from_config(layer: keras.layers.Layer, config: dict[str, Any]) -> keras.layers.Layer:
    """A layer of the class of `layer` and another configuration."""
    about = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    # Functions are taken as they are: Keras runs no code that stands in a configuration, and knows some by name only.
    if type(layer) is keras.layers.Lambda:
        return keras.layers.Lambda(layer.function, layer._output_shape, layer.mask, layer.arguments, **about)
    if type(layer) is keras.layers.Activation:
        return keras.layers.Activation(layer.activation, **about)
    return type(layer).from_config(config)


class GraphRewriter(Generic[Value]):
    """Builds a new model by walking the calls of an old one; a subclass says what becomes of each call.

    A `Value` is what the rewriter knows of a tensor: at least the tensor of the new graph.
    """

    caller: str
    node: Any  # the call of the old graph under conversion: what it reads and what it writes

    def __init__(self) -> None:
        self._clones: dict[int, keras.layers.Layer] = {}
        self._names: set[str] = set()

    def wrap(self, tensor: Any) -> Value:
        """The value of a tensor of which nothing but itself is known."""
        raise NotImplementedError

    def unwrap(self, value: Value) -> Any:
        """The tensor of a value, with the same content as the tensor of the old graph."""
        raise NotImplementedError

    def convert(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The values (nested as the outputs) of one call of `layer`, whose tensors are replaced by values."""
        raise NotImplementedError

    def is_value(self, x: Any) -> bool:
        raise NotImplementedError

    def values(self, *nested: Any) -> list[Value]:
        """The values among call arguments."""
        return [x for x in tf.nest.flatten(nested) if self.is_value(x)]

    def rewrite(self, model: keras.Model, name: str) -> keras.Model:
        """The new model, with inputs like the old one's and of the same structure."""
        inputs = [self.input_like(t) for t in model.inputs]
        self._names.update(t._keras_history.layer.name for t in inputs)
        with _without_advice():
            outputs = self.walk(model, [self.wrap(t) for t in inputs])
        new = keras.Model(
            tf.nest.pack_sequence_as(model._nested_inputs, inputs),
            tf.nest.map_structure(self.unwrap, outputs),
            name=name,
        )
        if not model.trainable:  # else that is left to the layers, some of which may be frozen
            new.trainable = False
        return new

    def walk(self, model: keras.Model, inputs: list[Value]) -> Any:
        """Converts the calls of a graph in order; returns the values of its outputs, nested as they are."""
        known: dict[int, Value] = {id(t): v for t, v in zip(model.inputs, inputs, strict=True)}

        def lookup(x: Any) -> Any:
            return known.get(id(x), x)

        for node in nodes(model):
            args = tf.nest.map_structure(lookup, node.call_args)
            kwargs = tf.nest.map_structure(lookup, node.call_kwargs)
            if not args and "inputs" in kwargs:
                args = (kwargs.pop("inputs"),)
            if type(node.layer).__name__ in ("AddLoss", "AddMetric"):
                raise ValueError(
                    f"{self.caller}: {model.name!r} has a loss or metric added by add_loss or add_metric, which "
                    "would be lost. Pass it to compile() instead."
                )
            self.node = node
            outputs = self.convert(node.layer, tuple(args), kwargs)
            for tensor, value in zip(tf.nest.flatten(node.outputs), tf.nest.flatten(outputs), strict=True):
                known[id(tensor)] = value
        return tf.nest.map_structure(lambda t: known[id(t)], model._nested_outputs)

    def copy_call(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The values of a call of a copy of `layer` with equal weights; see `call_copy`."""
        return tf.nest.map_structure(self.wrap, self.call_copy(layer, args, kwargs))

    def call_copy(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls a copy of `layer` with equal weights; a layer called again is the same copy again.

        Args:
            layer: of the old graph.
            args: of its call, tensors as values or as tensors of the new graph.
            kwargs: likewise.

        Returns:
            The tensors of the new graph, nested as the layer's outputs.
        """

        def unwrap(x: Any) -> Any:
            return self.unwrap(x) if self.is_value(x) else x

        args, kwargs = tf.nest.map_structure(unwrap, args), tf.nest.map_structure(unwrap, kwargs)
        clone = self._clones.get(id(layer))
        if clone is None:
            clone = self._clones[id(layer)] = self.clone(layer)
            outputs = clone(*args, **kwargs)
            clone.set_weights(latent_weights(layer))
        else:
            outputs = clone(*args, **kwargs)
        return outputs

    def clone(self, layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
        """A new layer with the same configuration but for `changes`, and without weights yet."""
        try:
            return _from_config(layer, self.adapted({**layer.get_config(), **changes}))
        except Exception as error:
            raise ValueError(
                f"{self.caller}: layer {layer.name!r} ({type(layer).__name__}) cannot be copied: it must be "
                f"restorable by from_config(get_config()). {error}"
            ) from error

    def adapted(self, config: Any) -> Any:
        """A layer's configuration as it is to be in the new graph."""
        return config

    def unique_name(self, name: str) -> str:
        """`name`, numbered if the model has a layer of that name."""
        candidate, number = name, 0
        while candidate in self._names:
            number += 1
            candidate = f"{name}_{number}"
        self._names.add(candidate)
        return candidate

    def input_like(self, tensor: Any, channels: int | None = None) -> Any:
        """A new input of the shape and name of an old one, or with another number of channels."""
        shape = list(tensor.shape)
        if channels is not None:
            shape[-1] = channels
        name = tensor._keras_history.layer.name
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name)
