"""Small binary models for the tests of convert."""

import numpy as np

import bduo_tf
from bduo_tf._keras import keras


def randomize(model: keras.Model, seed: int = 0) -> keras.Model:
    """Gives batch norms statistics as after training, negative gammas among them."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            layer.set_weights(
                [
                    rng.normal(0.4, 0.4, channels),
                    rng.normal(0.3, 0.2, channels),
                    rng.normal(0, 0.3, channels),
                    rng.uniform(0.3, 1.5, channels),
                ]
            )
    return model


def small_vgg7(form: str = "coupled", seed: int = 0, **kwargs: object) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return randomize(bduo_tf.networks.vgg7((16, 16, 1), 10, form, width=0.25, **kwargs), seed)


def decoupled(seed: int = 0) -> keras.Model:
    return bduo_tf.decouple(small_vgg7(seed=seed))
