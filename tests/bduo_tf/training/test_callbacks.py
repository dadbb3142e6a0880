"""Callbacks: a training that diverges stops at once, and each epoch draws from its own seed."""

import numpy as np
import pytest

from bduo_tf.backend import keras
from bduo_tf.training.callbacks import DivergenceError, EpochRecord, SeedEpochs


def _model() -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    return model


def _fit(
    model: keras.Model, x: float, *callbacks: keras.callbacks.Callback, **kwargs: object
) -> keras.callbacks.History:
    inputs, targets = np.full((4, 2), x, np.float32), np.zeros((4, 1), np.float32)
    return model.fit(inputs, targets, batch_size=2, verbose=0, callbacks=list(callbacks), **kwargs)


def test_an_epoch_records_its_seconds_and_rate() -> None:
    history = _fit(_model(), 1.0, EpochRecord("coupled"), epochs=2).history
    assert history["learning_rate"] == pytest.approx([0.01, 0.01])
    assert all(seconds > 0 for seconds in history["seconds"])


@pytest.mark.parametrize("x", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_at_its_batch(x: float) -> None:
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batches.append(batch))
    with pytest.raises(DivergenceError, match=r"stage coupled, epoch 1: loss is (nan|inf)"):
        _fit(_model(), x, EpochRecord("coupled"), count)
    assert batches == []


def test_a_validation_loss_that_is_not_finite_is_not_recorded() -> None:
    recorded = []
    after = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: recorded.append(epoch))
    bad = (np.full((1, 2), np.nan, np.float32), np.zeros((1, 1), np.float32))
    with pytest.raises(DivergenceError, match="val_loss is nan"):
        _fit(_model(), 1.0, EpochRecord("coupled"), after, validation_data=bad)
    assert recorded == []


def test_dropout_of_an_epoch_depends_on_the_seed_and_the_epoch_alone() -> None:
    keras.backend.experimental.enable_tf_random_generator()
    model = keras.Sequential([keras.Input((1000,)), keras.layers.Dropout(0.5)])
    seeding = SeedEpochs(3)
    seeding.set_model(model)

    def draw(epoch: int) -> np.ndarray:
        seeding.on_epoch_begin(epoch)
        return model(np.ones((1, 1000), np.float32), training=True).numpy()

    first, second = draw(0), draw(1)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(draw(1), second)
    np.testing.assert_array_equal(draw(0), first)
