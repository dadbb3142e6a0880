"""Steps of three replicas, which share the images unevenly, are those of one device: weights, averages, metrics."""

import subprocess
import sys

import pytest

_STEPS = """
import numpy as np
from bduo_tf.backend import keras, tf

[processor] = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 3)
from bduo_tf.data import Share
from bduo_tf.training.distribution import ALONE, distribution
from bduo_tf.training.stages import compile_model

rng = np.random.default_rng(0)
images = rng.normal(3, 1, (12, 8, 8, 1)).astype(np.float32)  # far from zero: E(x^2) - E(x)^2 would cancel
labels = np.arange(12) % 3
several = distribution("mirrored", 8)
assert several.replicas == 3

def model():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(4, 3, name="a_kernel")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))  # fused
    x = keras.layers.Flatten()(keras.layers.MaxPool2D(3)(x))
    x = keras.layers.BatchNormalization(momentum=0.5)(x)  # of two dimensions: not fused
    return keras.Model(image, keras.layers.Dense(3)(x))

results = []
for where in (ALONE, several):
    keras.utils.set_random_seed(1)
    plain = model()
    placed = where.place(plain)
    compile_model(placed, lambda: keras.optimizers.SGD(0.1, weight_decay=0.01), where)
    # Batches of 8 and 4, for the replicas 2, 3, 3 and 1, 1, 2.
    unbatched = tf.data.Dataset.from_tensor_slices((images, labels)).repeat(2)
    make = lambda share: share.batches(unbatched.take(12), 12, 8).concatenate(share.batches(unbatched.skip(12), 12, 8))
    history = placed.fit(where.batches(make), steps_per_epoch=2, epochs=2, verbose=0).history
    where.fetch(placed, plain)
    test = lambda share: share.batches(unbatched.take(12), 12, 8)
    evaluated = placed.evaluate(where.batches(test), steps=2, verbose=0)
    assert type(placed) is not keras.Model or where is ALONE
    assert all(type(layer).__module__.startswith("tf_keras") for layer in plain.layers)
    results.append((history, evaluated, plain.get_weights()))
(history, evaluated, weights), (others_history, others_evaluated, others) = results
for name in history:
    np.testing.assert_allclose(others_history[name], history[name], rtol=1e-5)
np.testing.assert_allclose(others_evaluated, evaluated, rtol=1e-5)
for one, other in zip(weights, others, strict=True):
    np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)
print("the same")
"""


@pytest.mark.slow
def test_three_replicas_are_one_device() -> None:
    done = subprocess.run([sys.executable, "-c", _STEPS], capture_output=True, text=True)
    assert "the same" in done.stdout, done.stderr[-3000:]
