"""Starts a network from the weights of another run, layer by layer where the two have layers of the same shape."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bduo_tf.backend import keras
from bduo_tf.messages import first_line
from bduo_tf.runs import RunConfig, RunError, RunFolder, Settings
from bduo_tf.training.building import network
from bduo_tf.training.errors import OptionError
from bduo_tf.training.methods import METHODS

__all__ = ["Donor", "open_donor"]

_Key = tuple[str, int]
_Layers = dict[_Key, keras.layers.Layer]


@dataclass(frozen=True)
class Donor:
    """A trained model whose weights a new one starts from.

    Attributes:
        file: where it lies.
        model: the model.
        input_shape: (height, width, channels) of its input.
        class_names: the names of the classes that its last layer tells apart.
    """

    file: Path
    model: keras.Model
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]

    @property
    def made_for(self) -> tuple[tuple[int, int, int], int]:
        """The shape of its input and its number of classes."""
        return self.input_shape, len(self.class_names)

    def fitting(self, model: keras.Model) -> list[_Key]:
        """The layers of `model` that can take the weights of a layer of the donor."""
        given = _layers(self.model)
        return [key for key, layer in _layers(model).items() if _shapes(layer) == _shapes(given.get(key))]

    def give(self, model: keras.Model, class_names: tuple[str, ...]) -> str:
        """Sets the weights of each layer that fits.

        Args:
            model: the network that takes the weights.
            class_names: its classes. If they are not the donor's, the last layer starts anew even if it fits, since it
                would be sure of wrong answers.

        Returns:
            Which layers have the donor's weights now, in one line.
        """
        given, taking, fitting = _layers(self.model), _layers(model), self.fitting(model)
        if class_names != self.class_names:
            fitting = [key for key in fitting if key != list(taking)[-1]]
        for key in fitting:
            taking[key].set_weights(given[key].get_weights())
        anew = [layer.name for key, layer in taking.items() if key not in fitting]
        but = f", all but {', '.join(anew)}" if anew else ""
        return f"{len(fitting)} of {len(taking)} layers start with the weights of {self.file}{but}."


def open_donor(settings: Settings) -> Donor:
    """The model of the run `settings.init` that fits the network of a new run best; of equals the one trained last.

    It is chosen before the data set of the new run is known, as if that had the channels and classes of the old one.

    Args:
        settings: of the new run; its `init` is given.

    Raises:
        OptionError: there is no such run, it has no trained model, or hardly any layer of its models fits.
        ValueError: the network cannot be built; see `bduo_tf.training.building.network`.
    """
    run = RunFolder(Path(str(settings.init)))
    try:
        config, names = run.config(), list(run.metrics().models)
    except RunError as e:
        raise OptionError("--init", str(e)) from e
    files = [run.model(name) for name in reversed(names) if run.model(name).is_file()]
    if not files:
        raise OptionError("--init", f"the run in {run.path} has no trained model yet.")
    made_for = config.input_shape, len(config.class_names)
    model = network(settings, (*settings.recipe.image_size, config.input_shape[2]), made_for[1], made_for)()
    donors = (Donor(file, _load(file), config.input_shape, config.class_names) for file in files)
    best = max(donors, key=lambda donor: len(donor.fitting(model)))
    layers, fitting = _layers(model), best.fitting(model)
    if 2 * len(fitting) < len(layers):
        key = next(key for key in layers if key not in fitting)
        there = _described(_layers(best.model).get(key))
        raise OptionError(
            _to_blame(settings, config),
            f"{len(fitting)} of {len(layers)} layers fit those of --init {run.path}, too few to start from: layer "
            f"{layers[key].name} has {_described(layers[key])}, in {best.file.name} it has {there}.",
        )
    return best


def _load(file: Path) -> keras.Model:
    try:
        return keras.models.load_model(file, compile=False)
    except Exception as e:  # Keras raises errors of any kind for files that are damaged or need other code
        raise OptionError("--init", f"{file} cannot be loaded: {first_line(e)}") from e


def _layers(model: keras.Model) -> _Layers:
    """The layers of a model that have weights, by their names.

    Keras numbers names that it gives itself through all models of a process. Therefore a number at the end counts as
    the position among the layers that are called so.
    """
    found: _Layers = {}
    seen: Counter[str] = Counter()
    for layer in model.layers:
        if layer.weights:
            base = re.sub(r"_\d+$", "", layer.name)
            found[base, seen[base]] = layer
            seen[base] += 1
    return found


def _shapes(layer: keras.layers.Layer | None) -> list[tuple[int, ...]]:
    return [] if layer is None else [tuple(weight.shape) for weight in layer.weights]


def _described(layer: keras.layers.Layer | None) -> str:
    shapes = " and ".join("x".join(map(str, shape)) or "scalar" for shape in _shapes(layer)[:2])
    return f"weights of {shapes}" if shapes else "no weights"


def _to_blame(settings: Settings, other: RunConfig) -> str:
    """The option by which the network differs from that of another run."""
    here, there = settings.values(), other.settings.values()
    if here["network"] != there["network"]:
        return "network"
    if there["method"] not in METHODS or METHODS[here["method"]].form != METHODS[there["method"]].form:
        return "--method"
    differing = [name for name in ("width", "levels", "image_size") if here[name] != there[name]]
    return "--" + differing[0].replace("_", "-") if differing else "--init"
