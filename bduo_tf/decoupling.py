"""decouple(model): any Keras graph with coupled activations in, the same function as a binary network out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bduo_tf import _graph, _widening
from bduo_tf.backend import keras, lq, tf
from bduo_tf.layers import ThresholdSplit
from bduo_tf.quantizers import CoupledStep, Step, step_of

__all__ = ["decouple"]


def decouple(model: keras.Model) -> keras.Model:
    r"""Takes every coupled activation apart into binary ones; the network computes the same function.

    Before each layer whose activation has n >= 2 levels a `ThresholdSplit` makes n copies of the
    channels, shifted to the n thresholds, and the activation becomes the binary step. The kernels that
    read the copies are repeated along their input channels and divided by n:

    \\[
    W a_n(x) = \sum_{k=1}^n \frac{W}{n} a_1(x - \theta_k), \qquad \theta_k = \frac{2k - 1}{2n} - \frac{1}{2}
    \\]

    The thresholds and all copies of the kernels are then free to be fine-tuned apart. The activation may
    be the `input_quantizer` of a layer or a layer of its own; copies of channels pass through pooling,
    padding, flattening, dropout, noise, concatenation and nested models to the kernels that read them.
    Larq's `DoReFa` activation of k bits is taken apart too, as the coupled step of 2^k - 1 levels that it
    is. Where a kernel quantizer forgets the scale of its kernel (`ste_sign`), its result is divided by n.

    Args:
        model: a functional or built sequential model; its weights are read, it is not changed. It may
            share layers and activations, branch, nest models and have several inputs and outputs.

    Returns:
        An uncompiled model of the same inputs, outputs and layer names; the added layers are named after
        the layer whose activation they split, with the suffix "_split".

    Raises:
        ValueError: the model is subclassed or not built, holds nothing to decouple, or sends a coupled
            activation where it cannot be widened; the message names the layer and says what to do.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, section 4. The authors duplicate batch norms by hand-written
        layer indices; here each copy has the same freedom through its own thresholds in the split.
    """
    _graph.require_graph(model, "decouple")
    if _graph.coupled_inside(model) is None:
        raise ValueError(
            f"decouple: model {model.name!r} has nothing to decouple: no layer has an activation "
            "CoupledStep(levels) with levels >= 2, or Larq's DoReFa of 2 bits or more. Was it decoupled before?"
        )
    return _Decoupler(layer.name for layer in model._flatten_layers()).rewrite(model, _decoupled_name(model.name))


def _decoupled_name(name: str) -> str:
    return name.replace("coupled", "decoupled") if "coupled" in name else f"{name}_decoupled"


@dataclass(frozen=True, eq=False)
class _Wide:
    """A tensor of the new graph, and how many copies of each original channel it has.

    Attributes:
        tensor: the tensor, in which the copies of a channel lie side by side.
        copies: (channels of the original tensor,); None if the tensor was not widened.
        source: the name of the layer whose activation made the copies, for messages.
    """

    tensor: Any
    copies: np.ndarray | None = None
    source: str = ""


@dataclass(frozen=True, eq=False)
class _WidenedLayer:
    """A layer of the new graph that reads copies, kept so that a second call is a call of the same layer.

    Attributes:
        layer: the widened layer.
        split: the split before it; None if an activation layer made the copies.
        copies: the copies that it reads.
    """

    layer: keras.layers.Layer
    split: ThresholdSplit | None
    copies: np.ndarray

    def __call__(self, x: Any) -> Any:
        return self.layer(x if self.split is None else self.split(x))


@dataclass(frozen=True, eq=False)
class _NestedModel:
    """A rewritten nested model, kept so that a second call is a call of the same model.

    Attributes:
        model: the new nested model.
        copies: the copies in each of its inputs, None for those that are not widened.
        outputs: the values of its outputs inside, nested as the outputs are.
    """

    model: keras.Model
    copies: list[np.ndarray | None]
    outputs: Any


def _unbuilt(config: Any) -> Any:
    """A configuration without the shapes with which the quantizers in it were built.

    From a configuration with them Keras builds a quantizer at once, before Larq tells it which metrics to count; it
    would then count none.
    """
    if isinstance(config, dict):
        return {key: _unbuilt(value) for key, value in config.items() if key != "build_config"}
    return [_unbuilt(value) for value in config] if isinstance(config, list) else config


def _binary_step(step: Step, quantizer: keras.layers.Layer) -> CoupledStep:
    """The step of one level that takes the place of a coupled `quantizer`, with its name and precision."""
    return CoupledStep(1, step.gradient, name=quantizer.name, dtype=quantizer._dtype_policy)


class _Decoupler(_graph.GraphRewriter[_Wide]):
    """Rewrites a graph so that coupled activations are copies of channels until a kernel sums these.

    Args:
        names: the names of the old graph's layers, which no new layer may take.
    """

    caller = "decouple"

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._names.update(names)
        self._steps: dict[int, CoupledStep] = {}
        self._widened: dict[int, _WidenedLayer] = {}
        self._nested: dict[int, _NestedModel] = {}

    def is_value(self, x: Any) -> bool:
        return isinstance(x, _Wide)

    def wrap(self, tensor: Any) -> _Wide:
        return _Wide(tensor)

    def unwrap(self, value: _Wide) -> Any:
        if value.copies is not None:
            raise ValueError(
                f"decouple: the coupled activation of {value.source!r} reaches an output of the model without "
                "passing a layer with a kernel, so its copies cannot be summed."
            )
        return value.tensor

    def clone(self, layer: keras.layers.Layer, **changes: Any) -> keras.layers.Layer:
        # The metrics that Larq's quantizers count, such as "flip_ratio", are no part of their configuration.
        metrics = [m for sub in layer._flatten_layers() for m in getattr(sub, "_custom_metrics", None) or ()]
        with lq.context.metrics_scope(list(dict.fromkeys(metrics))):
            return super().clone(layer, **changes)

    def adapted(self, config: Any) -> Any:
        return _unbuilt(config)

    def convert(self, call: _graph.Call) -> Any:
        layer = call.layer
        if _graph.is_graph(layer):
            return self._convert_nested(layer, call)
        step = step_of(_graph.activation_of(layer))
        if step is not None and step.levels > 1:
            return self._take_apart(layer, step, self._narrow(layer, call.args[0]))
        step = step_of(getattr(layer, "input_quantizer", None))
        if step is not None and step.levels > 1:
            return self._widen_kernel(layer, self._narrow(layer, call.args[0]), step)
        if (inside := _graph.coupled_inside(layer)) is not None:
            raise ValueError(
                f"decouple: layer {layer.name!r} ({type(layer).__name__}) holds the coupled activation "
                f"{inside[0].name!r} in a place that cannot be taken apart. Use CoupledStep as `input_quantizer` of "
                "a Larq convolution or dense layer, or as a layer of its own."
            )
        wide = [v for v in self.values(call.args, call.kwargs) if v.copies is not None]
        return self._pass_on(call, wide[0].source) if wide else self._keep(call)

    def _keep(self, call: _graph.Call) -> Any:
        """A call that reads no copies stays as it is."""
        if id(call.layer) in self._widened:
            self._require_same_copies(call.layer, None, self._widened[id(call.layer)].copies)
        return self.copy_call(call)

    def _pass_on(self, call: _graph.Call, source: str) -> _Wide:
        """A call of a layer without coupled activation that reads the copies of the activation `source`."""
        layer = call.layer
        if _widening.has_widenable_kernel(layer) and getattr(layer, "input_quantizer", None) is None:
            return self._widen_kernel(layer, call.args[0], None)
        inputs = self.values(call.args)
        copies = _widening.copies_through(layer, [v.tensor.shape for v in inputs], [v.copies for v in inputs])
        if copies is None:
            raise ValueError(
                f"decouple: layer {layer.name!r} ({type(layer).__name__}) reads the coupled activation of "
                f"{source!r} and cannot be widened. Let the activation be the `input_quantizer` of the "
                "layers with kernels that follow."
            )
        args = tf.nest.map_structure(lambda v: _Wide(v.tensor) if self.is_value(v) else v, call.args)
        result: _Wide = self.copy_call(replace(call, args=args), **_widening.widened_shape(layer, copies))
        return replace(result, copies=copies, source=source)

    def _narrow(self, layer: keras.layers.Layer, value: _Wide) -> _Wide:
        """Returns what a coupled activation reads; raises an error where it cannot be taken apart exactly."""
        if layer.compute_dtype not in ("float32", "float64"):
            raise ValueError(
                f"decouple: layer {layer.name!r} computes its coupled activation in {layer.compute_dtype}, in which a "
                "shifted copy of a value near a threshold may be rounded to its other side. Build the model in float32."
            )
        if value.copies is not None:
            raise ValueError(
                f"decouple: layer {layer.name!r} applies a coupled activation to that of {value.source!r}. "
                "Put a layer with a kernel between two coupled activations."
            )
        return value

    def _split(self, layer: keras.layers.Layer, levels: int) -> ThresholdSplit:
        """The split before `layer`, frozen if the layer is frozen, and computed in the layer's precision."""
        name = self.unique_name(f"{layer.name}_split")
        return ThresholdSplit(levels, name=name, trainable=layer.trainable, dtype=layer._dtype_policy)

    def _take_apart(self, layer: keras.layers.Layer, step: Step, value: _Wide) -> _Wide:
        """A coupled activation that is a layer: each call gets a split of its own, since channels may differ."""
        tensor = self._split(layer, step.levels)(value.tensor)
        if id(layer) not in self._steps:
            self._steps[id(layer)] = _binary_step(step, layer)
        copies = np.full(value.tensor.shape[-1], step.levels)
        return _Wide(self._steps[id(layer)](tensor), copies, layer.name)

    def _widen_kernel(self, layer: keras.layers.Layer, value: _Wide, step: Step | None) -> _Wide:
        """A layer with a kernel that reads copies.

        Args:
            layer: the layer of the old graph.
            value: what it reads.
            step: the layer's own coupled activation; None where a layer before it made the copies.
        """
        if not _widening.has_widenable_kernel(layer):
            raise ValueError(
                f"decouple: layer {layer.name!r} ({type(layer).__name__}) has a coupled activation but no kernel "
                "that can be widened. Supported: (Quant)Conv1D, 2D, 3D, their transposes, (Quant)SeparableConv1D, 2D "
                "and (Quant)Dense, channels last; a depthwise convolution as a (Quant)Conv2D with as many groups "
                "as channels."
            )
        copies = np.full(value.tensor.shape[-1], step.levels) if step else value.copies
        assert copies is not None
        if id(layer) in self._clones:  # an earlier call of it read no copies
            self._require_same_copies(layer, copies, None)
        known = self._widened.get(id(layer))
        if known is not None:
            self._require_same_copies(layer, copies, known.copies)
            return _Wide(known(value.tensor))
        weights, changes = _widening.widened(layer, copies)
        if step:
            changes["input_quantizer"] = lq.quantizers.serialize(_binary_step(step, layer.input_quantizer))
        split = self._split(layer, step.levels) if step else None
        new = self._widened[id(layer)] = _WidenedLayer(self.clone(layer, **changes), split, copies)
        output = new(value.tensor)
        new.layer.set_weights(weights)
        return _Wide(output)

    def _require_same_copies(
        self, layer: keras.layers.Layer, copies: np.ndarray | None, known: np.ndarray | None
    ) -> None:
        """Raises an error unless a shared layer reads the same copies in a call as in the calls before."""
        same = copies is known if copies is None or known is None else np.array_equal(copies, known)
        if not same:
            raise ValueError(
                f"decouple: layer {layer.name!r} is shared and called on activations of different levels, so its "
                "weights cannot be widened alike for all calls. Use the same levels, or a layer for each."
            )

    def _convert_nested(self, model: keras.Model, call: _graph.Call) -> Any:
        """A call of a nested model, which stays a nested model and may read and return copies."""
        inputs, others = _graph.call_inputs(model, call.args, call.kwargs)
        if id(model) not in self._nested:
            self._nested[id(model)] = self._rewrite_nested(model, inputs)
        nested = self._nested[id(model)]
        for value, copies in zip(inputs, nested.copies, strict=True):
            self._require_same_copies(model, value.copies, copies)
        others = tf.nest.map_structure(lambda x: self.unwrap(x) if self.is_value(x) else x, others)
        tensors = tf.nest.pack_sequence_as(model._nested_inputs, [v.tensor for v in inputs])
        return tf.nest.map_structure(
            lambda tensor, inside: replace(inside, tensor=tensor), nested.model(tensors, **others), nested.outputs
        )

    def _rewrite_nested(self, model: keras.Model, inputs: list[_Wide]) -> _NestedModel:
        tensors = [
            self.input_like(t, None if v.copies is None else v.tensor.shape[-1])
            for t, v in zip(model.inputs, inputs, strict=True)
        ]
        outputs = self.walk(model, [replace(v, tensor=t) for t, v in zip(tensors, inputs, strict=True)])
        outside = tf.nest.map_structure(lambda v: v.tensor, outputs)
        return _NestedModel(self.model_like(model, tensors, outside, model.name), [v.copies for v in inputs], outputs)
