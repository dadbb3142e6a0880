"""Walks a Keras graph and builds a new one: what coupling, decoupling and deployment share. Knows none of them."""

import contextlib
import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from bduo_tf._kinds import KNOWN_MODULES, is_exactly, is_known
from bduo_tf.backend import keras, lq, tf
from bduo_tf.quantizers import Step, step_of

Value = TypeVar("Value")


def is_graph(layer: Any) -> bool:
    """Whether a layer is a model whose graph says what it computes: functional, or sequential and built."""
    graph = isinstance(layer, keras.Model) and bool(getattr(layer, "_is_graph_network", False))
    # A subclass of a functional model may train or test in a way of its own, but not define another `call`.
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
    """Finds the first coupled activation (of two or more levels) in a layer or in the layers that it contains.

    Returns:
        The sublayer (which is the activation, or has it as its quantizer) and its step; None if there is none.
    """
    for sublayer in layer._flatten_layers():
        step = step_of(sublayer)
        if step is not None and step.levels > 1:
            return sublayer, step
    return None


def activation_of(layer: keras.layers.Layer) -> Any:
    """The function that a layer applies if it is an activation: what an Activation layer wraps, else the layer."""
    return layer.activation if is_exactly(layer, keras.layers.Activation) else layer


def call_inputs(model: keras.Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Sorts the arguments of one call of a nested model.

    Returns:
        The inputs in the order of `model.inputs`, and all other arguments by name.
    """
    inputs, *rest = args
    return model._flatten_to_reference_inputs(inputs), {**dict(zip(("training", "mask"), rest, strict=False)), **kwargs}


def quantized_kernel(layer: keras.layers.Layer) -> np.ndarray:
    """The kernel as the layer's forward pass sees it, after its quantizer; float32."""
    with lq.context.quantized_scope(True):
        return np.asarray(tf.convert_to_tensor(layer.kernel))


def latent_weights(layer: keras.layers.Layer) -> list[np.ndarray]:
    """All weights of a layer in Keras' order, kernels as they are trained, before their quantizer."""
    with lq.context.quantized_scope(False):
        return layer.get_weights()


def nodes(model: keras.Model) -> Iterator[Any]:
    """The layer calls of a graph, each after those it depends on."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        yield from (node for node in model._nodes_by_depth[depth] if not node.is_input)


@contextlib.contextmanager
def without_advice() -> Iterator[None]:
    """Silences Larq's advice on quantizers: the user had it already when the layers were made that are copied."""
    logger = logging.getLogger("larq.layers_base")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _from_config(layer: keras.layers.Layer, config: dict[str, Any]) -> keras.layers.Layer:
    """A new layer of the class of `layer` with the given configuration."""
    about = {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
    # Functions are handed over as objects: Keras refuses to run code that stands in a configuration, and restores
    # other functions by their name, which only those have that are registered.
    if type(layer) is keras.layers.Lambda:
        return keras.layers.Lambda(layer.function, layer._output_shape, layer.mask, layer.arguments, **about)
    if type(layer) is keras.layers.Activation:
        return keras.layers.Activation(layer.activation, **about)
    with keras.utils.custom_object_scope(_own_objects(layer)):
        return type(layer).from_config(config)


def _own_objects(layer: keras.layers.Layer) -> dict[str, Any]:
    """Quantizers, constraints, functions and the like that a layer holds and that are of the user's own, by name.

    Keras restores such from a configuration only if they are registered, or named here.
    """
    kinds = [value if inspect.isfunction(value) else type(value) for value in vars(layer).values()]
    return {kind.__name__: kind for kind in kinds if not f"{kind.__module__}.".startswith(KNOWN_MODULES)}


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer in the old graph.

    Attributes:
        layer: the layer of the old graph.
        args: its positional arguments, each tensor replaced by its value.
        kwargs: its keyword arguments, likewise.
        inputs: the tensors of the old graph that the call reads.
        outputs: the tensors of the old graph that it returns, flattened.
        training: the `training` argument with which the nested model around the call was called; None outside of
            nested models and where they were called without it.
    """

    layer: keras.layers.Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: list[Any]
    outputs: list[Any]
    training: bool | None = None


class GraphRewriter(Generic[Value]):
    """Builds a new model by walking the calls of an old one; a subclass says what becomes of each call.

    A `Value` is what the rewriter knows of a tensor of the old graph: at least a tensor of the new graph.

    Attributes:
        caller: the function that the user called, for error messages.
    """

    caller: str

    def __init__(self) -> None:
        self._clones: dict[int, keras.layers.Layer] = {}
        self._names: set[str] = set()

    def wrap(self, tensor: Any) -> Value:
        """The value that stands for a tensor of the new graph of which nothing else is known."""
        raise NotImplementedError

    def unwrap(self, value: Value) -> Any:
        """A tensor of the new graph that holds the same numbers as the value's tensor of the old graph."""
        raise NotImplementedError

    def convert(self, call: Call) -> Any:
        """Rewrites one call; returns the values of its outputs, nested as the outputs are."""
        raise NotImplementedError

    def is_value(self, x: Any) -> bool:
        """Whether an argument of a call is a value, and not a number, an option or the like."""
        raise NotImplementedError

    def values(self, *nested: Any) -> list[Value]:
        """The values among the arguments of a call."""
        return [x for x in tf.nest.flatten(nested) if self.is_value(x)]

    def rewrite(self, model: keras.Model, name: str) -> keras.Model:
        """Returns the new model, whose inputs have the names, shapes and structure of the old one's."""
        inputs = [self.input_like(t) for t in model.inputs]
        self._names.update(t._keras_history.layer.name for t in inputs)
        with without_advice():
            outputs = self.walk(model, [self.wrap(t) for t in inputs])
        outputs = tf.nest.map_structure(self.unwrap, outputs)
        return self.model_like(model, inputs, outputs, name)

    def walk(self, model: keras.Model, inputs: list[Value], training: bool | None = None) -> Any:
        """Converts the calls of a graph in order.

        Args:
            model: the model or nested model.
            inputs: the values of its inputs, in the order of `model.inputs`.
            training: the `training` argument with which a nested model is called.

        Returns:
            The values of its outputs, nested as the outputs are.
        """
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
            written = tf.nest.flatten(node.outputs)
            call = Call(node.layer, tuple(args), kwargs, list(node.keras_inputs), written, training)
            for tensor, value in zip(written, tf.nest.flatten(self.convert(call)), strict=True):
                known[id(tensor)] = value
        return tf.nest.map_structure(lambda t: known[id(t)], model._nested_outputs)

    @staticmethod
    def model_like(model: keras.Model, inputs: list[Any], outputs: Any, name: str) -> keras.Model:
        """A model of the new graph in place of `model`, its inputs nested in the same way, frozen if that is frozen."""
        new = keras.Model(tf.nest.pack_sequence_as(model._nested_inputs, inputs), outputs, name=name)
        if not model.trainable:  # otherwise each layer keeps its own setting: some may be frozen
            new.trainable = False
        return new

    def copy_call(self, call: Call, **changes: Any) -> Any:
        """Makes the same call of a copy of the layer; see `call_copy`.

        Returns:
            The values of the outputs, nested as the outputs are.
        """
        return tf.nest.map_structure(self.wrap, self.call_copy(call.layer, call.args, call.kwargs, **changes))

    def call_copy(
        self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any], **changes: Any
    ) -> Any:
        """Calls a copy of `layer` with equal weights. All calls of one layer are calls of the same copy.

        Args:
            layer: the layer of the old graph.
            args: the arguments of the call, in which values and tensors of the new graph may stand.
            kwargs: the keyword arguments, likewise.
            **changes: what the configuration of the copy has that differs; for the first call only.

        Returns:
            The tensors of the new graph, nested as the layer's outputs.
        """

        def unwrap(x: Any) -> Any:
            return self.unwrap(x) if self.is_value(x) else x

        args, kwargs = tf.nest.map_structure(unwrap, args), tf.nest.map_structure(unwrap, kwargs)
        clone = self._clones.get(id(layer))
        if clone is None:
            clone = self._clones[id(layer)] = self.clone(layer, **changes)
            outputs = clone(*args, **kwargs)
            self.set_weights(clone, layer)
        else:
            outputs = clone(*args, **kwargs)
        return outputs

    def set_weights(self, clone: keras.layers.Layer, layer: keras.layers.Layer) -> None:
        """Gives a copy the weights of `layer`; a subclass may leave it those that it was initialized with."""
        clone.set_weights(latent_weights(layer))

    def clone(self, layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
        """A new layer with the configuration of `layer` but for `changes`, which has no weights yet."""
        try:
            return _from_config(layer, self.adapted({**layer.get_config(), **changes}))
        except Exception as error:
            raise ValueError(
                f"{self.caller}: layer {layer.name!r} ({type(layer).__name__}) cannot be copied: it must be "
                f"restorable by from_config(get_config()). {error}"
            ) from error

    def adapted(self, config: Any) -> Any:
        """The configuration of a copy, given that of the layer; a subclass may change it for all layers."""
        return config

    def unique_name(self, name: str) -> str:
        """Returns `name`, with a number behind it if a layer of the new graph already has that name."""
        candidate, number = name, 0
        while candidate in self._names:
            number += 1
            candidate = f"{name}_{number}"
        self._names.add(candidate)
        return candidate

    def input_like(self, tensor: Any, channels: int | None = None) -> Any:
        """A new input with the name and shape of an old one; `channels`, if given, replaces its number of channels."""
        shape = list(tensor.shape)
        if channels is not None:
            shape[-1] = channels
        name = tensor._keras_history.layer.name
        return keras.Input(batch_shape=shape, dtype=tensor.dtype, name=name)
