"""Schedules and optimizers: a schedule that another stage began, and the rate that an epoch records."""

import numpy as np
import pytest

from bduo_tf.backend import keras
from bduo_tf.runs import Recipe
from bduo_tf.training.methods import Stage
from bduo_tf.training.optimization import Later, learning_rate, optimizer


def test_a_schedule_from_a_step_on() -> None:
    cosine = keras.optimizers.schedules.CosineDecay(0.1, 100)
    later = Later(cosine, 60)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(later))
    for step in (0, 1, 39):
        assert float(later(step)) == float(again(step)) == float(cosine(step + 60))


@pytest.mark.parametrize("drops", [(), (0.5,)])
def test_two_stages_follow_one_schedule(drops: tuple[float, ...]) -> None:
    whole = optimizer(Recipe(), Stage("whole", 10, 0.1, drops), 100)._learning_rate
    first = optimizer(Recipe(), Stage("first", 6, 0.1, drops, after=4), 60)._learning_rate
    second = optimizer(Recipe(), Stage("second", 4, 0.1, drops, before=6), 40)._learning_rate
    together = [float(first(step)) for step in range(60)] + [float(second(step)) for step in range(40)]
    np.testing.assert_array_equal(together, [float(whole(step)) for step in range(100)])


@pytest.mark.parametrize("name", ["adam", "sgd", "bop"])
def test_the_rate_that_is_recorded(name: str) -> None:
    assert learning_rate(optimizer(Recipe(optimizer=name), Stage("coupled", 1, 0.25), 10)) == 0.25
    assert learning_rate(keras.optimizers.SGD(0.5)) == 0.5
