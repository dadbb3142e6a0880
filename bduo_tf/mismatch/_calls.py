"""Lists the layer calls of a Keras model, so that a part of the model can be run. Knows nothing of gradients.

The tensors of a run are kept in an environment: a dictionary from a key, the number of the tensor, to the tensor.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bduo_tf._graph import is_graph
from bduo_tf._graph import nodes as graph_nodes
from bduo_tf.backend import keras, tf

__all__ = ["Call", "Calls", "latent", "reads", "run"]


@dataclass(frozen=True)
class _Slot:
    """Stands for a tensor among the arguments of a call; `index` is its key in the environment."""

    index: int


@dataclass(frozen=True)
class Call:
    """One call of a layer.

    Attributes:
        layer: the layer.
        args: its positional arguments, in which slots stand for tensors.
        kwargs: its keyword arguments, likewise.
        inputs: the keys of the tensors that the call reads.
        outputs: the keys of the tensors that it writes.
    """

    layer: keras.layers.Layer
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def __call__(self, environment: dict[int, tf.Tensor]) -> None:
        """Runs the layer in inference mode (batch norm frozen, dropout off) and adds its outputs to the environment."""

        def look_up(x: Any) -> Any:
            return environment[x.index] if isinstance(x, _Slot) else x

        args, kwargs = tf.nest.map_structure(look_up, (self.args, self.kwargs))
        if self.layer._call_spec.expects_training_arg:
            kwargs["training"] = False
        outputs = tf.nest.flatten(self.layer(*args, **kwargs))
        environment.update(zip(self.outputs, outputs, strict=True))


def run(calls: Iterable[Call], environment: dict[int, tf.Tensor]) -> dict[int, tf.Tensor]:
    """Runs calls in order; returns the environment with their outputs and leaves the given one as it is."""
    environment = dict(environment)
    for call in calls:
        call(environment)
    return environment


def latent(variable: Any) -> Any:
    """The latent variable behind a variable that Larq quantizes when it is read; any other variable as it is."""
    return getattr(variable, "latent_variable", variable)


def reads(layer: keras.layers.Layer, variable: Any) -> bool:
    """Whether a variable, given as its latent one, is among the weights of a layer."""
    return any(latent(v) is variable for v in layer.weights)


class Calls:
    """The layer calls of a model in order, with the calls inside of nested models in place of these.

    A model whose graph cannot be read (a subclass of `keras.Model`) is one call of itself.

    Args:
        model: a functional or sequential model, or any other Keras model that has its weights.

    Attributes:
        calls: the calls, each after those whose outputs it reads.
        inputs: the keys of the model's inputs, in the order of `model.inputs`.
        outputs: the keys of its outputs, nested as the outputs are.

    Raises:
        ValueError: the model has no weights yet.
    """

    def __init__(self, model: keras.Model) -> None:
        self.calls: list[Call] = []
        self._count = 0
        if is_graph(model):
            self.inputs = [self._new().index for _ in model.inputs]
            outputs = self._inline(model, [_Slot(i) for i in self.inputs])
        else:
            if not model.built:
                raise ValueError(f"mismatch: model {model.name!r} has no weights yet. Call it on a batch first.")
            self.inputs = [self._new().index]
            outputs = self._add(model, (_Slot(self.inputs[0]),), {}, None)
        self.outputs = tf.nest.map_structure(lambda slot: slot.index, outputs)

    def _new(self) -> _Slot:
        self._count += 1
        return _Slot(self._count - 1)

    def _add(self, layer: keras.layers.Layer, args: Any, kwargs: Any, outputs: Any) -> Any:
        slots = tf.nest.map_structure(lambda _: self._new(), outputs)
        read = tuple(x.index for x in tf.nest.flatten((args, kwargs)) if isinstance(x, _Slot))
        written = tuple(slot.index for slot in tf.nest.flatten(slots))
        self.calls.append(Call(layer, tuple(args), dict(kwargs), read, written))
        return slots

    def _inline(self, model: keras.Model, inputs: list[_Slot]) -> Any:
        known = {id(t): slot for t, slot in zip(model.inputs, inputs, strict=True)}

        def look_up(x: Any) -> Any:
            return known.get(id(x), x)

        for node in graph_nodes(model):
            args, kwargs = tf.nest.map_structure(look_up, (tuple(node.call_args), dict(node.call_kwargs)))
            if is_graph(node.layer):
                slots = self._inline(node.layer, [known[id(t)] for t in node.keras_inputs])
            else:
                slots = self._add(node.layer, args, kwargs, node.outputs)
            for tensor, slot in zip(tf.nest.flatten(node.outputs), tf.nest.flatten(slots), strict=True):
                known[id(tensor)] = slot
        return tf.nest.map_structure(lambda t: known[id(t)], model._nested_outputs)

    def affected_by(self, variable: Any) -> list[Call]:
        """The calls of layers that have the variable, and all calls that depend on these."""
        changed: set[int] = set()
        affected = []
        for call in self.calls:
            if changed.intersection(call.inputs) or reads(call.layer, variable):
                changed.update(call.outputs)
                affected.append(call)
        return affected
