"""Batch norms as after training, for networks whose accuracy does not matter."""

import numpy as np

from bduo_tf.backend import keras

__all__ = ["randomize_norms"]


def randomize_norms(model: keras.Model, seed: int = 0, *, negative: bool = False) -> keras.Model:
    """Give the batch norms of a model the values of a trained one, at random. Parts of untrained ones are folded away.

    Args:
        model: is changed.
        seed: of the values.
        negative: whether some gammas are negative, which makes deployment compare the other way round.

    Returns:
        The same model.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            layer.gamma.assign(rng.normal(0.4, 0.4, channels) if negative else rng.uniform(0.5, 1.2, channels))
            layer.beta.assign(rng.normal(0.3, 0.2, channels))
            layer.moving_mean.assign(rng.normal(0.0, 0.3, channels))
            layer.moving_variance.assign(rng.uniform(0.3, 1.5, channels))
    return model
