"""Reads a binary network: which channels belong together, which kernels read and make them, what would be coupled."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bduo_tf import _graph, _widening
from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, tf
from bduo_tf.coupling._activations import binary_activation, binary_input
from bduo_tf.coupling._channels import Channels, hold, resolved, tie, width
from bduo_tf.coupling._widths import Product
from bduo_tf.layers import ChannelPad, ThresholdSplit

__all__ = ["Analysis"]

_L = keras.layers
_DEPTHWISE = (_L.DepthwiseConv1D, _L.DepthwiseConv2D)


@dataclass(frozen=True, eq=False)
class Tensor:
    """What is known of a tensor of the original network.

    Attributes:
        shape: its shape, the batch included.
        dtype: its type.
        channels: the groups that its last axis consists of, each with the number of copies that decoupling will make
            of it on the way to the next kernel; empty where the size of that axis is not known.
    """

    shape: tf.TensorShape
    dtype: Any
    channels: tuple[tuple[Channels, int], ...] = ()

    @property
    def groups(self) -> list[Channels]:
        """The groups of channels without their copies."""
        return [group for group, _ in self.channels]


def _positions(shape: tf.TensorShape) -> int:
    """The number of elements of a tensor for each channel and image; sizes that are open count as 1."""
    return math.prod(size or 1 for size in shape[1:-1])


class Analysis(_graph.GraphRewriter[Tensor]):
    """Walks a network without building a new one.

    Args:
        levels: the number of binary activations that are to be coupled into one.

    Attributes:
        activations: for each layer that is a binary activation or has one as its input quantizer, by the layer's id,
            the backward pass of that activation.
        changes: for each layer that says in its configuration how many channels it makes, by the layer's id, functions
            that give these entries of the configuration once widths are chosen.
        stepped: the ids of the layers with a kernel that read coupled activations.
        products: the products with kernels.
    """

    caller = "couple"

    def __init__(self, levels: int) -> None:
        super().__init__()
        self._levels = levels
        self._read: dict[int, list[list[Channels]]] = {}
        self._made: dict[int, list[Channels]] = {}
        self._products: dict[int, list[Product]] = {}
        self.activations: dict[int, str] = {}
        self.changes: dict[int, dict[str, Callable[[], Any]]] = {}
        self.stepped: set[int] = set()

    @property
    def products(self) -> list[Product]:
        """The products with kernels, of which a layer may have two."""
        return [product for products in self._products.values() for product in products]

    def read(self, model: keras.Model) -> None:
        """Reads a whole network.

        Raises:
            ValueError: the network has a layer that cannot be coupled; the message names it.
        """
        inputs = [
            self._held(t.shape, t.dtype, t._keras_history.layer.name, "they are those of an input of the model")
            for t in model.inputs
        ]
        with _graph.without_advice():
            outputs = tf.nest.flatten(self.walk(model, inputs))
        for tensor in outputs:
            hold(tensor.groups, "they are those of an output of the model")

    def is_value(self, x: Any) -> bool:
        return isinstance(x, Tensor)

    @staticmethod
    def _held(shape: tf.TensorShape, dtype: Any, maker: str, reason: str) -> Tensor:
        """A tensor whose channels cannot be scaled."""
        known = shape.rank is not None and shape.rank > 0 and shape[-1] is not None
        return Tensor(shape, dtype, ((Channels(shape[-1], maker, held=reason), 1),) if known else ())

    def convert(self, call: _graph.Call) -> Any:
        layer, values = call.layer, self.values(call.args, call.kwargs)
        if is_exactly(layer, ThresholdSplit):
            raise ValueError(f"couple: layer {layer.name!r} is a ThresholdSplit: the network is decoupled already.")
        if _graph.is_graph(layer):
            self._tie_calls(layer, values)
            return self.walk(layer, _graph.call_inputs(layer, call.args, call.kwargs)[0])
        if layer.weights:
            self._tie_calls(layer, values)
        if (gradient := binary_activation(layer)) is not None:
            self.activations[id(layer)] = gradient
            return self._output(call, self._coupled(values[0]))
        gradient = binary_input(layer)
        if gradient is not None:
            if not _widening.has_widenable_kernel(layer):
                raise ValueError(
                    f"couple: layer {layer.name!r} ({type(layer).__name__}) has a binary activation, but `decouple` "
                    "cannot widen its kernel. Supported: (Quant)Conv1D, 2D, 3D, their transposes, "
                    "(Quant)SeparableConv1D, 2D and (Quant)Dense, channels last; a depthwise convolution as a "
                    "QuantConv2D with as many groups as channels."
                )
            self.activations[id(layer)] = gradient
            values = [replace(values[0], channels=self._coupled(values[0]))]
        if values and values[0].channels and getattr(layer, "data_format", None) != "channels_first":
            if _widening.has_widenable_kernel(layer):
                return self._kernel(call, values[0])
            if is_exactly(layer, _DEPTHWISE):
                return self._depthwise(call, values[0])
            if is_exactly(layer, ChannelPad):
                return self._padded(call, values[0])
            if (flat := self._flattened(call, values[0])) is not None:
                return flat
        return self._any(call, values)

    def _tie_calls(self, layer: keras.layers.Layer, values: Sequence[Tensor]) -> None:
        """All calls of one layer read the same channels."""
        read = [value.groups for value in values]
        for first, second in zip(self._read.setdefault(id(layer), read), read, strict=False):
            tie(first, second)

    def _coupled(self, value: Tensor) -> tuple[tuple[Channels, int], ...]:
        """The channels of a tensor behind a binary activation that is to be coupled."""
        for group in resolved(value.groups):
            group.read = True
        return tuple((group, self._levels) for group in value.groups)

    @staticmethod
    def _output(call: _graph.Call, channels: Sequence[tuple[Channels, int]]) -> Tensor:
        [output] = call.outputs
        return Tensor(output.shape, output.dtype, tuple(channels))

    def _kernel(self, call: _graph.Call, value: Tensor) -> Tensor:
        """A convolution or a dense layer, which makes new channels."""
        layer = call.layer
        if id(layer) not in self._made:
            separable = is_exactly(layer, _widening.SEPARABLE)
            count = layer.units if is_exactly(layer, _L.Dense) else layer.filters
            groups = 1 if separable else getattr(layer, "groups", 1)
            follows = groups > 1 and groups == value.shape[-1]
            made = [Channels(count, layer.name)]
            key = "units" if is_exactly(layer, _L.Dense) else "filters"
            area = math.prod((layer.depthwise_kernel if separable else layer.kernel).shape[:-2])
            self.changes[id(layer)] = {key: lambda: width(made)}
            if follows:  # a depthwise convolution, of which each output channel reads one input channel
                times = count // groups
                made = value.groups * times
                self.changes[id(layer)]["groups"] = lambda: width(value.groups)
                products = [Product(layer.name, value.channels, (), area * times)]
            elif separable:
                times = layer.depth_multiplier
                products = [
                    Product(layer.name, value.channels, (), area * times),
                    Product(layer.name, value.channels, made, times),
                ]
            else:
                if groups > 1:
                    self._divisible(layer, groups, [*value.groups, *made])
                products = [Product(layer.name, value.channels, made, area, groups)]
            self._made[id(layer)], self._products[id(layer)] = made, products
        if any(copies > 1 for _, copies in value.channels):
            self.stepped.add(id(layer))
        counted = value.shape if is_exactly(layer, _widening.TRANSPOSED) else call.outputs[0].shape
        for product in self._products[id(layer)]:
            product.positions += _positions(counted)
        return self._output(call, [(group, 1) for group in self._made[id(layer)]])

    @staticmethod
    def _divisible(layer: keras.layers.Layer, groups: int, channels: Sequence[Channels]) -> None:
        for group in resolved(channels):
            group.multiple = math.lcm(group.multiple, groups)
            if group.size % group.multiple:
                group.hold(f"layer {layer.name!r} divides them among {groups} groups together with others")

    def _depthwise(self, call: _graph.Call, value: Tensor) -> Tensor:
        layer = call.layer
        channels = value.channels * layer.depth_multiplier
        if id(layer) not in self._products:
            area = math.prod(layer.depthwise_kernel.shape[:-2])
            self._products[id(layer)] = [Product(layer.name, channels, (), area)]
        self._products[id(layer)][0].positions += _positions(call.outputs[0].shape)
        return self._output(call, channels)

    def _padded(self, call: _graph.Call, value: Tensor) -> Tensor:
        """Channels of zeros are scaled as what is added to them is."""
        channels = [*value.channels, (Channels(call.layer.channels - value.shape[-1], call.layer.name), 1)]
        self.changes[id(call.layer)] = {"channels": lambda: width(group for group, _ in channels)}
        return self._output(call, channels)

    def _flattened(self, call: _graph.Call, value: Tensor) -> Tensor | None:
        """A layer that flattens its input or reshapes it; None if it is another layer, or does more to the channels."""
        layer, shape = call.layer, call.outputs[0].shape
        reshape = is_exactly(layer, _L.Reshape)
        if not is_exactly(layer, (_L.Flatten, _L.Reshape)) or shape[-1] is None:
            return None
        times, rest = divmod(shape[-1], value.shape[-1])
        # Pixels stay whole only if all of them are joined, or none.
        if rest or not (times == 1 or all(size == 1 for size in shape[1:-1])):
            return None
        channels = value.channels * times
        if reshape and layer.target_shape[-1] != -1:
            front = layer.target_shape[:-1]
            self.changes[id(layer)] = {"target_shape": lambda: (*front, width(group for group, _ in channels))}
        return self._output(call, channels)

    def _any(self, call: _graph.Call, values: Sequence[Tensor]) -> Any:
        """Any other layer. What it does to channels is seen by calling copies of it on other numbers of channels."""
        groups = [group for value in values for group in value.groups]
        reason = (
            f"layer {call.layer.name!r} ({type(call.layer).__name__}) does with them what cannot be told from its "
            "configuration. Use layers of Keras there that do not name or cut channels, such as Add and Concatenate"
        )
        found = self._probed(call, values)
        if found is None:
            hold(groups, reason)
        if found is None or not found:
            held = [self._held(t.shape, t.dtype, call.layer.name, reason) for t in call.outputs]
            return tf.nest.pack_sequence_as(self._structure(call), held)
        return self._output(call, found)

    @staticmethod
    def _structure(call: _graph.Call) -> Any:
        return call.outputs if len(call.outputs) > 1 else call.outputs[0]

    def _probed(self, call: _graph.Call, values: Sequence[Tensor]) -> list[tuple[Channels, int]] | None:
        """The channels of a layer's output, found by calling a copy of the layer on half as many channels.

        Returns:
            The channels; nothing if their number does not depend on the inputs; None if this is not understood.
        """
        output = call.outputs[0].shape
        if not values or len(call.outputs) > 1 or any(not v.channels for v in values) or not output.rank:
            return None
        # Odd numbers, so that a layer that needs any even number fails here, where its name is known.
        sizes = [v.shape[-1] // 2 | 1 for v in values]
        inputs = iter(
            keras.Input(batch_shape=(*v.shape[:-1], n), dtype=v.dtype) for v, n in zip(values, sizes, strict=True)
        )
        layer = self.clone(call.layer)
        try:
            args, kwargs = tf.nest.map_structure(
                lambda x: next(inputs) if self.is_value(x) else x, (call.args, call.kwargs)
            )
            probe = layer(*args, **kwargs).shape
        except Exception:  # whatever a layer raises for a number of channels that it cannot take
            return None
        if probe.rank != output.rank or probe[:-1].as_list() != output[:-1].as_list():
            return None
        before, after = output[-1], probe[-1]
        if before == sum(v.shape[-1] for v in values) and after == sum(sizes):
            return [entry for value in values for entry in value.channels]
        # One channel is broadcast to all those of the others.
        merged = [(v, n) for v, n in zip(values, sizes, strict=True) if v.shape[-1] > 1]
        if merged and all((v.shape[-1], n) == (before, after) for v, n in merged):
            first, *rest = [v for v, _ in merged]
            for other in rest:
                tie(first.groups, other.groups)
            return list(first.channels)
        return [] if before == after else None
