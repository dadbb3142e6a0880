"""A network of the user's own, from a function that the run names: called, checked, and coupled as the method says."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bduo_tf import _graph, couple, decouple, user_code
from bduo_tf.backend import keras
from bduo_tf.messages import first_line
from bduo_tf.runs import Recipe, Settings
from bduo_tf.scores import output_kinds
from bduo_tf.training.errors import OptionError
from bduo_tf.training.methods import METHODS

__all__ = ["FIXED", "own_network", "require_own_method"]

FIXED = ("width", "per_channel", "float_weights", "clip")
"""Fields of a recipe that are for networks of `bduo_tf.networks`: in another one its function settles them."""


def require_own_method(network: str, method: str) -> None:
    """Raises OptionError unless a method can be had from any binary network."""
    possible = [name for name, m in METHODS.items() if m.of_any_network]
    if method not in possible:
        raise OptionError(
            "--method",
            f"{method} needs another form of the network, which {network} does not give; possible are "
            f"{', '.join(possible)}.",
        )


def own_network(settings: Settings, input_shape: tuple[int, int, int], classes: int) -> Callable[[], keras.Model]:
    """A function that builds the network of a run's first stage, untrained and uncompiled.

    Args:
        settings: of the run; its network is package.module:function.
        input_shape: (height, width, channels).
        classes: number of logits.

    Raises:
        OptionError: the function cannot be called, or what it returns cannot be trained.
    """
    source, recipe, method = settings.network, settings.recipe, METHODS[settings.method]
    require_own_method(source, settings.method)
    plain = Recipe()
    for name in FIXED:
        if getattr(recipe, name) != getattr(plain, name):
            raise OptionError("--" + name.replace("_", "-"), f"does not apply to {source}: its function settles it.")

    def build() -> keras.Model:
        try:
            model = user_code.call_function(source, {"input_shape": input_shape, "classes": classes})
            _graph.require_graph(model, source)
            _require_classifier(model, source, input_shape, classes)
            if method.form == "coupled":
                model = couple(model, recipe.levels, gradient=recipe.gradient)
            return decouple(model) if method.decoupled == "at once" else model
        except ValueError as error:
            raise OptionError("network", " ".join(str(error).split())) from error

    _require_saved(build(), source)
    return build


def _require_classifier(model: keras.Model, source: str, input_shape: tuple[int, int, int], classes: int) -> None:
    """Raises ValueError unless a model takes the images of the data set and gives logits of its classes."""
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"{source} has {len(model.inputs)} inputs and {len(model.outputs)} outputs: training takes one of each."
        )
    if not model.inputs[0].shape[1:].is_compatible_with(input_shape):
        raise ValueError(
            f"{source} takes inputs of shape {_shown(model.inputs[0])}, the data set has images of {input_shape}. Let "
            "the function take `input_shape`, or give --image-size."
        )
    if not model.outputs[0].shape[1:].is_compatible_with((classes,)) or model.outputs[0].shape[-1] is None:
        raise ValueError(
            f"{source} gives outputs of shape {_shown(model.outputs[0])}, the data set has {classes} classes. Let the "
            "function take `classes`, and end in (batch, classes) logits."
        )
    [kind] = output_kinds(model)
    if kind in ("softmax", "sigmoid"):
        raise ValueError(
            f"{source} ends in a {kind}: training takes logits, and the loss has the softmax in it. Leave it out; "
            "`convert` says in the file that the scores are logits."
        )


def _shown(tensor: Any) -> tuple[int | None, ...]:
    return tuple(tensor.shape[1:])


def _require_saved(model: keras.Model, source: str) -> None:
    """Raises OptionError unless a model can be loaded from the file that a stage leaves, where the next one starts."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        try:
            model.save(file)
            keras.models.load_model(file, compile=False)
        except Exception as error:
            raise OptionError(
                "network",
                f"the model of {source} cannot be loaded from a file, so that no second stage could start from it: "
                f"register layers of your own by keras.utils.register_keras_serializable, and use no Lambda layers "
                f"({first_line(error)[:200]})",
            ) from error
