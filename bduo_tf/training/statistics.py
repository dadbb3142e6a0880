"""The statistics of batch norms, taken anew over many batches."""

from typing import Any

from bduo_tf.backend import keras, tf

__all__ = ["estimate_norms"]


def estimate_norms(model: keras.Model, batches: tf.data.Dataset) -> None:
    """Give batch norms the mean of the statistics of all batches, of which training only has a moving average.

    Args:
        model: whose weights stay as they are but for these statistics.
        batches: images, and labels that are not used.
    """
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    statistics = [v for layer in norms for v in (layer.moving_mean, layer.moving_variance)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # leaves the statistics of the last batch alone

    @tf.function
    def see(images: Any) -> None:
        model(images, training=True)

    totals, count = [0.0] * len(statistics), 0
    for images, _ in batches:
        see(images)
        totals = [t + v.numpy() for t, v in zip(totals, statistics, strict=True)]
        count += 1
    for variable, total in zip(statistics, totals, strict=True):
        variable.assign(total / count)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
