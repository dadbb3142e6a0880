"""What a recipe is: the settings of a training run that suit one network on one data set."""

from dataclasses import dataclass

__all__ = ["OPTIMIZERS", "Recipe"]

OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Recipe:
    """Settings of a run; the command line overrides any of them.

    Attributes:
        image_size: (height, width) of the network's input.
        batch_size: images a step.
        epochs: of the coupled stage.
        fine_tune_epochs: after decoupling. One-stage schemes train for the sum of both.
        optimizer: "adam", or "sgd" with Nesterov momentum 0.9.
        learning_rate: at the start of the coupled (or only) stage.
        fine_tune_learning_rate: at the start of fine-tuning. The defaults of both rates are the best for Adam
            and binary weights in docs/results.md; a tenth of them costs a binary network points.
        drops: fractions of a stage after which the rate is multiplied by 0.1; empty means cosine decay to 0.
        fine_tune_drops: the same of the fine-tuning; None: those of the first stage.
        weight_decay: decoupled, of kernels only.
        augmentation: a key of `data.AUGMENTATIONS`.
        levels: binary activations coupled into one.
        width: multiplies the network's channels.
        per_channel: one kernel scale an output channel instead of one a layer.
        float_weights: binary activations only, as in the authors' VGG-7; such a network cannot be deployed
            with binary kernels.
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
    weight_decay: float = 0.0
    augmentation: str = "none"
    levels: int = 2
    width: float = 1.0
    per_channel: bool = False
    float_weights: bool = False
