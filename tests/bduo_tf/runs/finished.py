"""A finished run for tests, written as training writes it."""

from pathlib import Path

from bduo_tf.backend import keras
from bduo_tf.data import SCALING, Fit
from bduo_tf.runs import Metrics, ModelMetrics, Recipe, RunConfig, RunFolder, Settings

CONFIG = RunConfig(
    settings=Settings("vgg7", "digits", recipe=Recipe(image_size=(16, 16), width=0.25)),
    input_shape=(16, 16, 1),
    class_names=tuple("0123456789"),
    fit=Fit((16, 16), whole=False),
    scaling=SCALING,
    num_train=1437,
    num_test=360,
    test_split="test",
    stages=("coupled", "fine_tuned"),
)
"""A run of the network that `tests.bduo_tf.conversion.models.small_vgg7` builds."""


def finished_run(folder: Path, model: keras.Model, **accuracies: float) -> RunFolder:
    """Write a run to a folder that exists.

    Args:
        folder: where to.
        model: the model to deploy.
        accuracies: those of the models of the run by their names, of which the last is the one to deploy.
    """
    run = RunFolder(folder)
    models = {name: ModelMetrics(accuracy, loss=1.0) for name, accuracy in (accuracies or {"fine_tuned": 0.1}).items()}
    final = list(models)[-1]
    run.write_config(CONFIG)
    run.write_metrics(Metrics(models, final))
    model.save(run.model(final))
    return run
