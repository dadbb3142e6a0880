"""couple(model): any binary Keras graph in, an untrained coupled network of about the same cost out."""

from typing import Any

from bduo_tf import _graph
from bduo_tf.backend import keras, lq, tf
from bduo_tf.coupling._analysis import Analysis
from bduo_tf.coupling._widths import choose_widths
from bduo_tf.decoupling import decouple
from bduo_tf.quantizers import GRADIENTS, CoupledStep

__all__ = ["couple"]


def couple(model: keras.Model, levels: int = 2, *, gradient: str | None = None) -> keras.Model:
    r"""Makes of a binary network the coupled one to train first: BinaryDuo for a network that you have.

    Every binary activation becomes a coupled one of `levels` + 1 values, and the channels that it reads become fewer.
    Trained and then decoupled (`bduo_tf.decouple`), the network is binary and has at most the weights and the
    multiply-accumulates of `model`:

    \\[
    n \cdot \frac{C}{\sqrt n} \cdot \frac{C'}{\sqrt n} = C \cdot C'
    \\]

    Channels that are added or multiplied stay of one number, so that shortcuts fit. Channels that no binary activation
    reads, such as those before the classifier, and the inputs and outputs of the model stay as many as they are. What
    rounding gains, and what the layers cost that read fewer channels but make as many as before, is balanced in the
    channels on which most weights depend. All else stays: kernel quantizers, constraints, batch norms, dropout. Only
    padding with ones, which suits signs, becomes padding with zeros, which suits steps from 0 to 1.

    Args:
        model: a functional or built sequential model with binary activations: Larq's `ste_sign`, `approx_sign`,
            `swish_sign`, `SteHeaviside` or `DoReFa` of one bit, or `CoupledStep(1)`, each as an `input_quantizer` or
            as a layer of its own. It is not changed, and its trained weights are not used.
        levels: the number of binary activations coupled into one, at least 2.
        gradient: the backward pass of the coupled activations, see `CoupledStep`; None keeps that of each binary one.

    Returns:
        An untrained, uncompiled model with the layer names of `model`. Weights that training would not change, such as
        those of a frozen layer, are those of `model` where their shapes are. `bduo_tf.coupling_report` compares the
        costs of the two.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: the model is subclassed or not built, has no binary activations, has coupled ones, or cannot be
            coupled; the message names the layer and says what to do.

    Reference:
        Kim et al., "BinaryDuo", ICLR 2020, section 4 and the experiments' widths: VGG-7's channels 64, 64, 128, 128,
        512, 512 become 45, 45, 90, 90, 336, 512.
    """
    _graph.require_graph(model, "couple")
    if isinstance(levels, bool) or int(levels) != levels or levels < 2:
        raise ValueError(f"couple: levels must be a whole number from 2 on, not {levels!r}.")
    if gradient is not None and gradient not in GRADIENTS:
        raise ValueError(f"couple: unknown gradient {gradient!r}; known: {', '.join(GRADIENTS)}.")
    if (inside := _graph.coupled_inside(model)) is not None:
        raise ValueError(
            f"couple: model {model.name!r} is coupled already: layer {inside[0].name!r} has an activation of "
            f"{inside[1].levels} levels. Train it as it is, then `decouple` it."
        )
    analysis = Analysis(int(levels))
    analysis.read(model)
    if not analysis.activations:
        raise ValueError(
            f"couple: model {model.name!r} has no binary activations. Give the layers that are to be binary an "
            "input_quantizer such as 'ste_sign', or bduo_tf.CoupledStep(1)."
        )
    choose_widths(analysis.products, int(levels))
    coupled = _Coupler(analysis, int(levels), gradient).rewrite(model, _coupled_name(model.name))
    try:
        decouple(coupled)
    except ValueError as error:
        raise ValueError(f"couple: the coupled network could not be decoupled after training. {error}") from error
    return coupled


def _coupled_name(name: str) -> str:
    return name.replace("baseline", "coupled") if "baseline" in name else f"{name}_coupled"


class _Coupler(_graph.GraphRewriter[Any]):
    """Builds the coupled network from what the analysis found.

    Args:
        analysis: of the network, widths chosen.
        levels: the number of binary activations coupled into one.
        gradient: their backward pass; None for that of each binary activation.
    """

    caller = "couple"

    def __init__(self, analysis: Analysis, levels: int, gradient: str | None) -> None:
        super().__init__()
        self._analysis = analysis
        self._levels = levels
        self._gradient = gradient
        self._steps: dict[int, CoupledStep] = {}
        self._nested: dict[int, keras.Model] = {}

    def is_value(self, x: Any) -> bool:
        return hasattr(x, "_keras_history")

    def wrap(self, tensor: Any) -> Any:
        return tensor

    def unwrap(self, value: Any) -> Any:
        return value

    def set_weights(self, clone: keras.layers.Layer, layer: keras.layers.Layer) -> None:
        if layer.weights and not layer.trainable_weights:
            weights = _graph.latent_weights(layer)
            if [w.shape for w in weights] == [tuple(v.shape) for v in clone.weights]:
                clone.set_weights(weights)

    def convert(self, call: _graph.Call) -> Any:
        layer = call.layer
        if _graph.is_graph(layer):
            return self._convert_nested(layer, call)
        gradient = self._analysis.activations.get(id(layer))
        if gradient is None or hasattr(layer, "input_quantizer"):
            return self.copy_call(call, **self._changes(layer))
        if id(layer) not in self._steps:
            self._steps[id(layer)] = self._step(gradient, layer)
        return self._steps[id(layer)](call.args[0])

    def _step(self, gradient: str, quantizer: Any) -> CoupledStep:
        """The coupled activation that takes the place of a binary one, with its name and precision if it has them."""
        about = {"name": quantizer.name, "dtype": quantizer._dtype_policy} if hasattr(quantizer, "name") else {}
        return CoupledStep(self._levels, self._gradient or gradient, **about)

    def _changes(self, layer: keras.layers.Layer) -> dict[str, Any]:
        """What the configuration of a layer has that differs."""
        changes = {key: value() for key, value in self._analysis.changes.get(id(layer), {}).items()}
        if (gradient := self._analysis.activations.get(id(layer))) is not None:
            changes["input_quantizer"] = lq.quantizers.serialize(self._step(gradient, layer.input_quantizer))
        if getattr(layer, "pad_values", 0) and id(layer) in self._analysis.stepped:
            changes["pad_values"] = 0.0  # what a step gives for a value far below its thresholds, as a sign gives -1
        return changes

    def _convert_nested(self, model: keras.Model, call: _graph.Call) -> Any:
        """A call of a nested model, which stays a nested model."""
        inputs, others = _graph.call_inputs(model, call.args, call.kwargs)
        if id(model) not in self._nested:
            new = [self.input_like(t, x.shape[-1]) for t, x in zip(model.inputs, inputs, strict=True)]
            self._nested[id(model)] = self.model_like(model, new, self.walk(model, new), model.name)
        return self._nested[id(model)](tf.nest.pack_sequence_as(model._nested_inputs, inputs), **others)
