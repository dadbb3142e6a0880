"""Rows for the tests of the comparison."""

import dataclasses

from bduo_tf.runs import Recipe, Settings
from bduo_tf.training.methods import applied
from benchmarks.accuracy.cli import RECIPE
from benchmarks.accuracy.rows import Row

SETTINGS = Settings(
    "vgg7",
    "fashion_mnist",
    "duo",
    validation=0.1,
    recipe=dataclasses.replace(RECIPE, learning_rate=1e-3, fine_tune_learning_rate=3e-3),
)
_RECIPE = {field.name for field in dataclasses.fields(Recipe)}


def changed(settings: Settings = SETTINGS, **changes: object) -> Settings:
    """The settings with other values, of which some are the recipe's."""
    recipe = dataclasses.replace(settings.recipe, **{k: v for k, v in changes.items() if k in _RECIPE})
    settings = dataclasses.replace(settings, **{k: v for k, v in changes.items() if k not in _RECIPE})
    return dataclasses.replace(settings, recipe=applied(settings.method, recipe))


def row(value: float, settings: Settings = SETTINGS, **changes: object) -> Row:
    """A training of some accuracy, in percent."""
    return Row(changed(settings, **changes), value, value - 1, 100, 60.0)
