"""How a stage is compiled: its optimizer, its learning rates and its loss."""

from collections.abc import Callable
from typing import Any

from bduo_tf.backend import keras, lq
from bduo_tf.runs import Recipe
from bduo_tf.training.distribution import ALONE, Distribution
from bduo_tf.training.methods import Stage

__all__ = ["Later", "compile_model", "learning_rate", "optimizer"]

# Between two calls into TensorFlow: a tenth of a small network's step is such a call.
_STEPS_PER_EXECUTION = 16


def optimizer(recipe: Recipe, stage: Stage, steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer with the stage's schedule.

    Args:
        recipe: says which optimizer.
        stage: says at which rates.
        steps: number of steps of the stage.
    """
    schedule, decay = _schedule(stage, steps), recipe.weight_decay or None
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, weight_decay=decay)
    if recipe.optimizer == "bop":
        bop = lq.optimizers.Bop(threshold=recipe.bop_threshold, gamma=recipe.bop_gamma)
        # Larq's optimizers are Keras' legacy ones, which have no weight decay.
        rest = keras.optimizers.legacy.Adam(schedule)
        return lq.optimizers.CaseOptimizer((lq.optimizers.Bop.is_binary_variable, bop), default_optimizer=rest)
    return keras.optimizers.Adam(schedule, weight_decay=decay)


def learning_rate(optimizer: Any) -> float:
    """The rate of the next step; of Bop and Adam, which share the weights, that of Adam."""
    optimizer = getattr(optimizer, "default", optimizer)
    rate = optimizer.learning_rate
    # Keras' legacy optimizers return the schedule itself.
    return float(keras.backend.get_value(rate(optimizer.iterations) if callable(rate) else rate))


def compile_model(
    model: keras.Model,
    make_optimizer: Callable[[], keras.optimizers.Optimizer | str],
    distribution: Distribution = ALONE,
    loss: keras.losses.Loss | None = None,
) -> None:
    """Compile for images and their labels, or for another loss; of the weights only kernels decay."""
    with distribution.scope():
        optimizer = make_optimizer()
        if isinstance(optimizer, keras.optimizers.Optimizer):
            # Decay would pull the thresholds together and the norms' scales to zero.
            spared = [v for v in model.trainable_variables if "kernel" not in v.name]
            optimizer.exclude_from_weight_decay(var_list=spared)
        loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=_STEPS_PER_EXECUTION)


def _schedule(stage: Stage, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    whole = round(steps * (stage.before + stage.epochs + stage.after) / stage.epochs)
    schedule = keras.optimizers.schedules.CosineDecay(stage.learning_rate, whole)
    if stage.drops:
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
            [round(whole * fraction) for fraction in stage.drops],
            [stage.learning_rate * 0.1**i for i in range(len(stage.drops) + 1)],
        )
    return Later(schedule, round(steps * stage.before / stage.epochs)) if stage.before else schedule


@keras.saving.register_keras_serializable("bduo_tf")
class Later(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule from one of its steps on, for a stage that continues that of the stage before.

    Args:
        schedule: the whole schedule.
        start: the step that becomes the first.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, start: int) -> None:
        super().__init__()
        self.schedule = schedule
        self.start = start

    def __call__(self, step: Any) -> Any:
        return self.schedule(step + self.start)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": keras.saving.serialize_keras_object(self.schedule), "start": self.start}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Later":
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["start"])
