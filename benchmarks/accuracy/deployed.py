"""The networks of trainings as they are deployed, untrained: their files and what they cost."""

from dataclasses import dataclass, field

import numpy as np

from bduo_tf import decouple, to_lce_graph
from bduo_tf.backend import keras
from bduo_tf.conversion.inspection import cost, expected_operators, operators
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.tflite import convert_float32, convert_lce
from bduo_tf.data.images import INPUT_RANGE
from bduo_tf.runs import Settings
from bduo_tf.training.building import network
from bduo_tf.training.methods import METHODS
from benchmarks.latency import Latency

__all__ = ["Deployed", "Point", "deployed"]


@dataclass(frozen=True)
class Deployed:
    """A network as a device gets it.

    Attributes:
        macs: multiply-accumulates of one inference by the bits of the activations, as in `inspection.Cost`.
        file: the content of the .tflite file.
    """

    macs: dict[int, int]
    file: bytes = field(repr=False)

    @property
    def binary_macs(self) -> int:
        """Those of binary activations."""
        return self.macs.get(1, 0)

    @property
    def float_macs(self) -> int:
        """Those of all other activations."""
        return sum(self.macs.values()) - self.binary_macs

    @property
    def is_float(self) -> bool:
        """Whether there is nothing binary in it."""
        return not self.binary_macs


@dataclass(frozen=True)
class Point:
    """A variant: how good it is, what it costs, and how long it takes.

    Attributes:
        settings: of one of its trainings.
        seeds: number of its trainings.
        accuracy: their mean test accuracy, in percent.
        error: the standard error of that mean.
        deployed: its network.
        latency: of one inference.
    """

    settings: Settings
    seeds: int
    accuracy: float
    error: float
    deployed: Deployed
    latency: Latency


def deployed(settings: Settings, channels: int, class_names: tuple[str, ...]) -> Deployed:
    """The network of a training as it is deployed, untrained, with binary kernels or as a float network.

    The statistics of its batch norms are at random, since parts of untrained ones would be folded away. Their gammas
    are positive, as in the trainings that were looked at: 0.4 to 1.5 after two epochs. (Negative ones add a
    multiplication of the activations, and 4 % to a file of 24 kB.)

    Args:
        settings: of the training.
        channels: of the images.
        class_names: names of the classes in the order of the labels, which the file holds too.

    Raises:
        ValueError: it cannot be deployed with binary kernels.
    """
    keras.utils.set_random_seed(0)
    model = network(settings, (*settings.recipe.image_size, channels), len(class_names))()
    _randomize_norms(model)
    if METHODS[settings.method].decoupled == "between":
        model = decouple(model)
    graph = to_lce_graph(model)
    file = convert_lce(graph)
    if problems := expected_operators(graph, operators(file)):
        raise ValueError("; ".join(problems))
    macs = cost(file).macs
    if 1 not in macs:
        file = convert_float32(model)
    return Deployed(macs, add_metadata(file, Metadata(model.name, class_names, INPUT_RANGE, channels)))


def _randomize_norms(model: keras.Model) -> None:
    """Gives the batch norms of a model the values of a trained one, at random."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            layer.gamma.assign(rng.uniform(0.5, 1.2, channels))
            layer.beta.assign(rng.normal(0.3, 0.2, channels))
            layer.moving_mean.assign(rng.normal(0.0, 0.3, channels))
            layer.moving_variance.assign(rng.uniform(0.3, 1.5, channels))
