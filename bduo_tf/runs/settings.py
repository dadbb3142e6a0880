"""What determines a run: the settings of its network and its training. The commands have an option for each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bduo_tf.runs.values import restored

__all__ = ["OPTIMIZERS", "SCHEDULES", "Recipe", "Settings"]

OPTIMIZERS = ("adam", "sgd", "bop")
SCHEDULES = ("restart", "continued")


@dataclass(frozen=True)
class Recipe:
    """The settings that are chosen to suit a network and a data set. The command line overrides any of them.

    The defaults of the two learning rates are the best ones for Adam and binary weights in docs/results.md. A tenth of
    them costs a binary network points.

    Attributes:
        image_size: (height, width) of the network's input, in pixels.
        batch_size: number of images in a step.
        epochs: number of epochs of the first stage.
        fine_tune_epochs: number of epochs of the second stage. Methods of one stage train for the sum of both.
        optimizer: "adam", "sgd" with Nesterov momentum 0.9, or "bop", which is Larq's for the binary kernels and
            Adam for what is float.
        learning_rate: learning rate at the start of the first stage.
        fine_tune_learning_rate: learning rate at the start of the second stage.
        drops: fractions of a stage after which the rate is multiplied by 0.1; empty for a cosine that decays to 0.
        fine_tune_drops: the same for the second stage; None for those of the first.
        schedule: "restart" for a schedule of its own in each stage, or "continued" for one over both, of which the
            second stage follows the rest at its own rate.
        weight_decay: decoupled weight decay, which applies to kernels only. Bop has none.
        augmentation: a key of `bduo_tf.data.AUGMENTATIONS`.
        levels: number of binary activations that are coupled into one.
        width: multiplies the channels of the binary baseline. A coupled network is as wide as its decoupled network
            may be without being heavier than that baseline; see `bduo_tf.training.building`.
        per_channel: whether kernels have a scale for each output channel instead of one for each layer.
        float_weights: whether only activations are binary, as in the authors' VGG-7. Such a network cannot be
            deployed with binary kernels.
        clip: latent kernels of quantized layers are kept within -clip and +clip; 0 lets them grow.
        transfer: the fraction of each label that is replaced, in fine-tuning, by what the network of the first
            stage answers.
        norms: whether the statistics of batch norms are taken over all training images after each stage.
        gradient: backward pass of the activations, a key of `bduo_tf.quantizers.GRADIENTS`.
        bop_threshold: of Bop, what the moving average of a weight's gradient must exceed to flip the weight.
        bop_gamma: of Bop, the weight of the newest gradient in that average.
    """

    image_size: tuple[int, int] = (32, 32)
    batch_size: int = 128
    epochs: int = 60
    fine_tune_epochs: int = 40
    optimizer: str = "adam"
    learning_rate: float = 1e-2
    fine_tune_learning_rate: float = 3e-3
    drops: tuple[float, ...] = ()
    fine_tune_drops: tuple[float, ...] | None = None
    schedule: str = "restart"
    weight_decay: float = 0.0
    augmentation: str = "none"
    levels: int = 2
    width: float = 1.0
    per_channel: bool = False
    float_weights: bool = False
    clip: float = 0.0
    transfer: float = 0.0
    norms: bool = False
    gradient: str = "relu1"
    bop_threshold: float = 1e-8
    bop_gamma: float = 1e-4


@dataclass(frozen=True)
class Settings:
    """All that determines a run, apart from the versions of the packages.

    Attributes:
        network: a key of `bduo_tf.networks.NETWORKS`, or package.module:function for a network of the user's own.
        dataset: a name for `bduo_tf.data.load`. The path of a folder of pictures is absolute.
        method: a key of `bduo_tf.training.methods.METHODS`.
        data_dir: the absolute path of the folder of the data set; None for the usual one.
        seed: seeds the weights, the order of the images and their augmentation.
        validation: fraction of the training images to evaluate on instead of the test images.
        recipe: the rest.
        init: the absolute path of another run's folder, from whose weights this run starts; None for random weights.
    """

    network: str
    dataset: str
    method: str = "duo"
    data_dir: str | None = None
    seed: int = 0
    validation: float = 0.0
    recipe: Recipe = field(default_factory=Recipe)
    init: str | None = None

    def values(self) -> dict[str, Any]:
        """The settings as JSON values, by the names of the command's options without their dashes."""
        values = asdict(self)
        recipe = values.pop("recipe")
        return {k: list(v) if isinstance(v, tuple) else v for k, v in {**values, **recipe}.items()}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Settings":
        """The settings that `values` gave.

        Raises:
            ValueError: a value is missing or of another type.
        """
        return restored(cls, {**values, "recipe": restored(Recipe, values)})
