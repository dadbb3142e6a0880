"""The settings of a run, complete: what config.json holds, and how two runs are told apart."""

from dataclasses import asdict, dataclass
from typing import Any

from bduo_tf import decouple, networks
from bduo_tf.backend import keras
from bduo_tf.data import Dataset
from bduo_tf.training.recipe import Recipe

__all__ = ["NETWORKS", "SCHEMES", "Settings", "Stage"]

NETWORKS = tuple(networks.NETWORKS)
SCHEMES = ("duo", "scratch", "baseline", "float")


@dataclass(frozen=True)
class Stage:
    """One `model.fit`: `name` is that of its file, `name`.keras; `drops` as in `Recipe`."""

    name: str
    epochs: int
    learning_rate: float
    drops: tuple[float, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What determines a run, apart from the versions of the packages.

    Attributes:
        network: a key of `bduo_tf.networks.NETWORKS`.
        dataset: a name for `data.load`.
        data_dir: absolute, or None.
        scheme: "duo" (coupled, decoupled, fine-tuned), or in one stage "scratch" (decoupled before any training),
            "baseline" (binary) or "float".
        seed: of the weights, the order of the images and their augmentation.
        validation: fraction of the training images to evaluate on instead of the test images.
        recipe: the recipe with what the command line overrides.
    """

    network: str
    dataset: str
    data_dir: str | None
    scheme: str
    seed: int
    validation: float
    recipe: Recipe

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What is trained, in order."""
        r = self.recipe
        if self.scheme == "duo":
            drops = r.drops if r.fine_tune_drops is None else r.fine_tune_drops
            return (
                Stage("coupled", r.epochs, r.learning_rate, r.drops),
                Stage("fine_tuned", r.fine_tune_epochs, r.fine_tune_learning_rate, drops),
            )
        return (Stage(self.scheme, r.epochs + r.fine_tune_epochs, r.learning_rate, r.drops),)

    @property
    def final(self) -> str:
        """The name of the model to deploy."""
        return self.stages[-1].name

    def network_arguments(self, dataset: Dataset) -> dict[str, Any]:
        """The arguments of the network's function for the first stage."""
        r = self.recipe
        return {
            "input_shape": list(dataset.input_shape),
            "classes": len(dataset.class_names),
            "form": self.scheme if self.scheme in ("baseline", "float") else "coupled",
            "levels": r.levels,
            "width": r.width,
            "binary_weights": not r.float_weights,
            "per_channel": r.per_channel,
        }

    def build(self, dataset: Dataset) -> keras.Model:
        """The uncompiled network of the first stage."""
        arguments = self.network_arguments(dataset)
        shape = tuple(arguments.pop("input_shape"))
        model = networks.NETWORKS[self.network](shape, **arguments)
        return decouple(model) if self.scheme == "scratch" else model

    def options(self) -> dict[str, Any]:
        """The settings by the name of their command-line option, without the dashes, as JSON values."""
        values = asdict(self)
        recipe = values.pop("recipe")
        return {k: list(v) if isinstance(v, tuple) else v for k, v in {**values, **recipe}.items()}

    def config(self, dataset: Dataset) -> dict[str, Any]:
        """The contents of config.json."""
        return {
            **self.options(),
            "network_arguments": self.network_arguments(dataset),
            "class_names": list(dataset.class_names),
            "fit": asdict(dataset.fit),
            "scaling": dataset.scaling,
            "num_train": dataset.num_train,
            "num_test": dataset.num_test,
            "test_split": dataset.test_split,
            "stages": [stage.name for stage in self.stages],
            "final": self.final,
        }
