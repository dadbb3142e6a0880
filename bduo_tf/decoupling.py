"""decouple(model): any Keras graph with coupled activations in, the same function as a binary network out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bduo_tf import _graph
from bduo_tf._kinds import is_exactly
from bduo_tf.backend import keras, lq, tf
from bduo_tf.layers import ThresholdSplit
from bduo_tf.quantizers import CoupledStep, ScaledQuantizer, Step, step_of

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
    padding, flattening, dropout, concatenation and nested models to the kernels that read them. Larq's
    `DoReFa` activation of k bits is taken apart too, as the coupled step of 2^k - 1 levels that it is.
    Where a kernel quantizer forgets the scale of its kernel (`ste_sign`), its result is divided by n.

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
        layer indices; here the split carries the freedom of the copies.
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


@dataclass(frozen=True)
class _Wide:
    """A tensor, and into how many copies each channel of the original was taken apart (None: none was)."""

    tensor: Any
    copies: np.ndarray | None = None
    source: str = ""  # the layer whose activation made the copies, for messages


# Layers whose output channel c depends on input channel c alone, in a way that treats the copies of a
# 0/1 activation as it treats the activation: linear, or a maximum of values that grow with the same x.
_BY_CHANNEL = (
    keras.layers.MaxPool1D,
    keras.layers.MaxPool2D,
    keras.layers.MaxPool3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.GlobalMaxPool1D,
    keras.layers.GlobalMaxPool2D,
    keras.layers.GlobalMaxPool3D,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.Cropping3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)

_TRANSPOSED = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_KERNEL = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D, keras.layers.Dense)


@dataclass(frozen=True)
class _Kernel:
    """A weight of a layer that must be repeated for copies of its input channels.

    Attributes:
        name: of the layer's attribute.
        axis: of the input channels.
        divided: whether the layer's product with it sums over copies, each of which then weighs one n-th.
        multiplier: channels along `axis` that each input channel of the layer has.
    """

    name: str
    axis: int = -2
    divided: bool = True
    multiplier: int = 1

    @property
    def quantizer(self) -> str:
        """The name of the layer's attribute."""
        return f"{self.name.removesuffix('_kernel')}_quantizer"

    def repeat(self, weight: np.ndarray, copies: np.ndarray) -> np.ndarray:
        """`weight` for copies[c] copies of each channel c."""
        channels = np.arange(len(copies) * self.multiplier).reshape(len(copies), self.multiplier)
        repeated = np.take(weight, np.repeat(channels, copies, axis=0).ravel(), axis=self.axis)
        if not self.divided:
            return repeated
        shape = [1] * weight.ndim
        shape[self.axis] = -1
        return repeated / np.repeat(copies, copies * self.multiplier).reshape(shape).astype(weight.dtype)


def _kernels(layer: keras.layers.Layer) -> tuple[_Kernel, ...]:
    """What must be repeated in `layer`; nothing in a layer that cannot be widened."""
    if is_exactly(layer, _TRANSPOSED):
        return (_Kernel("kernel", axis=-1),)
    if is_exactly(layer, _KERNEL):
        return (_Kernel("kernel"),)
    if is_exactly(layer, _SEPARABLE):
        # Nothing stands between its two kernels: the depthwise products of the copies are summed by the second.
        pointwise = _Kernel("pointwise_kernel", divided=False, multiplier=layer.depth_multiplier)
        return (_Kernel("depthwise_kernel"), pointwise)
    return ()


def _widened(layer: keras.layers.Layer, copies: np.ndarray) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The weights of `layer` for copies of its input channels, and how its configuration changes.

    Raises:
        ValueError: a quantizer does not let its kernel be divided among the copies.
    """
    groups = getattr(layer, "groups", 1)
    group = copies[: len(copies) // groups]
    if groups > 1 and not np.array_equal(np.tile(group, groups), copies):
        raise ValueError(f"decouple: the groups of layer {layer.name!r} read activations of different levels.")
    weights = _graph.latent_weights(layer)
    changes: dict[str, Any] = {}
    for kernel in _kernels(layer):
        [index] = [i for i, variable in enumerate(layer.weights) if variable is getattr(layer, kernel.name)]
        weights[index], change = _widened_kernel(layer, kernel, weights[index], group)
        changes |= change
    return weights, changes


def _widened_kernel(
    layer: keras.layers.Layer, kernel: _Kernel, latent: np.ndarray, copies: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """The latent kernel whose quantization is that of `layer` for the copies, and how the quantizer changes."""
    quantizer = getattr(layer, kernel.quantizer, None)
    widened = kernel.repeat(latent, copies)
    if quantizer is None:
        return widened, {}

    def quantize(weight: np.ndarray) -> np.ndarray:
        # By a copy: a quantizer that counts flips remembers the shape of the kernel it was built for.
        probe = type(quantizer).from_config(quantizer.get_config()) if hasattr(quantizer, "get_config") else quantizer
        return np.asarray(probe(tf.constant(weight)))

    expected = kernel.repeat(quantize(latent), copies)
    # Weights that an optimizer such as Bop keeps at +1 and -1 are to stay so: it would set W / n back to them.
    flipped_only = getattr(quantizer, "precision", None) == 1 and bool(np.all(np.abs(latent) == 1))
    if not flipped_only and np.allclose(quantize(widened), expected, rtol=1e-5, atol=0):
        return widened, {}
    if len(set(copies)) > 1:
        raise ValueError(
            f"decouple: the quantized kernel of layer {layer.name!r} reads activations of different levels, "
            "which one scale cannot weigh. Use the same levels for all it reads, or no kernel quantizer."
        )
    levels = int(copies[0])
    repeated = replace(kernel, divided=False).repeat(latent, copies)
    if np.allclose(quantize(repeated) / levels, expected, rtol=1e-5, atol=0):
        scaled = ScaledQuantizer(quantizer, 1 / levels, dtype=getattr(quantizer, "_dtype_policy", None))
        return repeated, {kernel.quantizer: lq.quantizers.serialize(scaled)}
    name = getattr(quantizer, "name", getattr(quantizer, "__name__", quantizer))
    raise ValueError(
        f"decouple: the kernel quantizer {name!r} of layer {layer.name!r} gives neither q(W / n) = q(W) / n nor, "
        "for a kernel repeated n times, q(W) repeated, so the kernel cannot be divided among copies of its input. "
        "Use bduo_tf.ScaledSign(), or no kernel quantizer."
    )


def _unbuilt(config: Any) -> Any:
    """A layer's configuration without the shapes that its quantizers were built for, which would build them anew.

    Built before they are told of Larq's metrics, they count none.
    """
    if isinstance(config, dict):
        return {key: _unbuilt(value) for key, value in config.items() if key != "build_config"}
    return [_unbuilt(value) for value in config] if isinstance(config, list) else config


def _widened_shape(layer: keras.layers.Layer, copies: np.ndarray) -> dict[str, Any]:
    """How the configuration of a layer without weights changes where that states the number of channels."""
    if is_exactly(layer, keras.layers.Reshape):
        return {"target_shape": (*layer.target_shape[:-1], int(copies.sum()))}
    if is_exactly(layer, keras.layers.Dropout) and layer.noise_shape and layer.noise_shape[-1] not in (None, 1):
        return {"noise_shape": (*layer.noise_shape[:-1], int(copies.sum()))}
    return {}


def _binary_step(step: Step, quantizer: keras.layers.Layer) -> CoupledStep:
    """The step of one level in place of a coupled `quantizer`, as a layer of the same name and precision."""
    return CoupledStep(1, step.gradient, name=quantizer.name, dtype=quantizer._dtype_policy)


class _Decoupler(_graph.GraphRewriter[_Wide]):
    caller = "decouple"

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._names.update(names)  # layers keep theirs
        # What a layer or nested model was widened to, so that a second call is the same layer again.
        self._widened: dict[int, tuple[keras.layers.Layer, ThresholdSplit | None, list[np.ndarray | None]]] = {}
        self._nested: dict[int, list[_Wide]] = {}

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
        # The metrics of Larq's quantizers, such as "flip_ratio", are no part of their configuration.
        metrics = [m for sub in layer._flatten_layers() for m in getattr(sub, "_custom_metrics", None) or ()]
        with lq.context.metrics_scope(list(dict.fromkeys(metrics))):
            return super().clone(layer, **changes)

    def adapted(self, config: Any) -> Any:
        return _unbuilt(config)

    def convert(self, layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if _graph.is_graph(layer):
            return self._convert_nested(layer, args, kwargs)
        step = step_of(_graph.activation_of(layer))
        if step is not None and step.levels > 1:
            return self._take_apart(layer, step, self._narrow(layer, args[0]))
        step = step_of(getattr(layer, "input_quantizer", None))
        if step is not None and step.levels > 1:
            return self._widen_kernel(layer, self._narrow(layer, args[0]), step)
        if (inside := _graph.coupled_inside(layer)) is not None:
            raise ValueError(
                f"decouple: layer {layer.name!r} ({type(layer).__name__}) holds the coupled activation "
                f"{inside[0].name!r} in a place that cannot be taken apart. Use CoupledStep as `input_quantizer` of "
                "a Larq convolution or dense layer, or as a layer of its own."
            )

        wide = [v for v in self.values(args, kwargs) if v.copies is not None]
        if not wide:
            if id(layer) in self._widened:
                self._require_same_copies(layer, None, self._widened[id(layer)][2][0])
            return self.copy_call(layer, args, kwargs)
        if _kernels(layer) and getattr(layer, "input_quantizer", None) is None:
            return self._widen_kernel(layer, args[0], None)
        copies = self._copies_through(layer, args)
        if copies is None:
            raise ValueError(
                f"decouple: layer {layer.name!r} ({type(layer).__name__}) reads the coupled activation of "
                f"{wide[0].source!r} and cannot be widened. Let the activation be the `input_quantizer` of the "
                "layers with kernels that follow."
            )
        args = tf.nest.map_structure(lambda v: _Wide(v.tensor) if self.is_value(v) else v, args)
        if id(layer) not in self._clones and (changes := _widened_shape(layer, copies)):
            self._clones[id(layer)] = self.clone(layer, **changes)
        result = self.copy_call(layer, args, kwargs)
        return _Wide(result.tensor, copies, wide[0].source)

    def _copies_through(self, layer: keras.layers.Layer, args: tuple[Any, ...]) -> np.ndarray | None:
        """The copies after a layer without weights, or None if it mixes channels in another way."""
        if getattr(layer, "data_format", None) == "channels_first":
            return None
        inputs = self.values(args)
        if is_exactly(layer, keras.layers.Concatenate) and layer.axis in (-1, len(inputs[0].tensor.shape) - 1):
            return np.concatenate([np.ones(v.tensor.shape[-1], int) if v.copies is None else v.copies for v in inputs])
        copies = inputs[0].copies
        if copies is None:
            return None
        if is_exactly(layer, keras.layers.Flatten):
            positions = [d for d in inputs[0].tensor.shape[1:-1]]
            return None if None in positions else np.tile(copies, int(np.prod(positions, initial=1)))
        linear = is_exactly(layer, keras.layers.Activation) and layer.activation is keras.activations.linear
        keeps_channels = is_exactly(layer, keras.layers.Reshape) and layer.target_shape[-1] == len(copies)
        return copies if is_exactly(layer, _BY_CHANNEL) or linear or keeps_channels else None

    def _narrow(self, layer: keras.layers.Layer, value: _Wide) -> _Wide:
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
        """The split before `layer`: frozen where that is, and computed in its precision."""
        name = self.unique_name(f"{layer.name}_split")
        return ThresholdSplit(levels, name=name, trainable=layer.trainable, dtype=layer._dtype_policy)

    def _take_apart(self, layer: keras.layers.Layer, step: Step, value: _Wide) -> _Wide:
        """An activation that is a layer of its own: each call gets a split, since channels may differ."""
        tensor = self._split(layer, step.levels)(value.tensor)
        if id(layer) not in self._clones:
            self._clones[id(layer)] = _binary_step(step, layer)
        copies = np.full(value.tensor.shape[-1], step.levels)
        return _Wide(self._clones[id(layer)](tensor), copies, layer.name)

    def _widen_kernel(self, layer: keras.layers.Layer, value: _Wide, step: Step | None) -> _Wide:
        """A layer with a kernel that reads copies: made by its own quantizer, or by an activation before it."""
        if not _kernels(layer) or getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                f"decouple: layer {layer.name!r} ({type(layer).__name__}) has a coupled activation but no kernel "
                "that can be widened. Supported: (Quant)Conv1D, 2D, 3D, their transposes, (Quant)SeparableConv1D, 2D "
                "and (Quant)Dense, channels last; a depthwise convolution as a (Quant)Conv2D with as many groups "
                "as channels."
            )
        copies = np.full(value.tensor.shape[-1], step.levels) if step else value.copies
        assert copies is not None
        if id(layer) in self._clones:  # it was called on floats before
            self._require_same_copies(layer, copies, None)
        if id(layer) not in self._widened:
            weights, changes = _widened(layer, copies)
            if step:
                changes["input_quantizer"] = lq.quantizers.serialize(_binary_step(step, layer.input_quantizer))
            split = self._split(layer, step.levels) if step else None
            clone = self.clone(layer, **changes)
            self._widened[id(layer)] = (clone, split, [copies])
            output = clone(split(value.tensor) if split else value.tensor)
            clone.set_weights(weights)
            return _Wide(output)
        clone, split, [known_copies] = self._widened[id(layer)]
        self._require_same_copies(layer, copies, known_copies)
        return _Wide(clone(split(value.tensor) if split else value.tensor))

    def _require_same_copies(
        self, layer: keras.layers.Layer, copies: np.ndarray | None, known: np.ndarray | None
    ) -> None:
        same = copies is known if copies is None or known is None else np.array_equal(copies, known)
        if not same:
            raise ValueError(
                f"decouple: layer {layer.name!r} is shared and called on activations of different levels, so its "
                "weights cannot be widened alike for all calls. Use the same levels, or a layer for each."
            )

    def _convert_nested(self, model: keras.Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inputs, others = _graph.call_inputs(model, args, kwargs)
        if id(model) not in self._widened:
            tensors = [
                self.input_like(t, v.tensor.shape[-1] if v.copies is not None else None)
                for t, v in zip(model.inputs, inputs, strict=True)
            ]
            inner = [_Wide(t, v.copies, v.source) for t, v in zip(tensors, inputs, strict=True)]
            outputs = self.walk(model, inner)
            nested = keras.Model(
                tf.nest.pack_sequence_as(model._nested_inputs, tensors),
                tf.nest.map_structure(lambda v: v.tensor, outputs),
                name=model.name,
            )
            if not model.trainable:  # else leave it to the layers, some of which may be frozen
                nested.trainable = False
            self._widened[id(model)] = (nested, None, [v.copies for v in inputs])
            self._nested[id(model)] = outputs
        nested, _, known = self._widened[id(model)]
        for value, copies in zip(inputs, known, strict=True):
            self._require_same_copies(model, value.copies, copies)
        others = tf.nest.map_structure(lambda x: self.unwrap(x) if self.is_value(x) else x, others)
        result = nested(tf.nest.pack_sequence_as(model._nested_inputs, [v.tensor for v in inputs]), **others)
        return tf.nest.map_structure(lambda t, v: _Wide(t, v.copies, v.source), result, self._nested[id(model)])
