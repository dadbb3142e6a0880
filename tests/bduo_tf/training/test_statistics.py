"""Statistics of batch norms: the mean over all batches."""

import numpy as np

from bduo_tf.backend import keras, tf
from bduo_tf.training.statistics import estimate_norms


def test_estimated_norms_are_the_means_of_the_batches() -> None:
    values = np.random.default_rng(0).normal(3, 2, (40, 6)).astype("float32")
    norms = [keras.layers.BatchNormalization(), keras.layers.BatchNormalization(momentum=0.9)]
    model = keras.Sequential([keras.Input((6,)), *norms])
    estimate_norms(model, tf.data.Dataset.from_tensor_slices((values, values)).batch(20))
    parts = values.reshape(2, 20, 6)
    np.testing.assert_allclose(norms[0].moving_mean, parts.mean((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(norms[0].moving_variance, parts.var(1).mean(0), rtol=1e-4)
    np.testing.assert_allclose(norms[1].moving_mean, 0, atol=1e-4)  # what it reads is normalized by the batch
    assert [norm.momentum for norm in norms] == [0.99, 0.9]
