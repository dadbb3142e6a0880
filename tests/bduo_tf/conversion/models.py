"""Small binary models for the tests of conversion."""

from typing import Any

import numpy as np

import bduo_tf
from bduo_tf.backend import keras, lq, tf
from tests.bduo_tf.graphs import randomize


def small_vgg7(form: str = "coupled", seed: int = 0, **kwargs: object) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return randomize(bduo_tf.networks.vgg7((16, 16, 1), 10, form, width=0.25, **kwargs), seed)


def decoupled(seed: int = 0) -> keras.Model:
    return bduo_tf.decouple(small_vgg7(seed=seed))


def binary(x: Any, channels: int = 8, name: str | None = None) -> Any:
    """Applies a float convolution and a binary one to images."""
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, padding="same")(x))
    conv = lq.layers.QuantConv2D(
        channels,
        3,
        padding="same",
        use_bias=False,
        input_quantizer=bduo_tf.CoupledStep(1),
        kernel_quantizer=bduo_tf.ScaledSign(),
        name=name,
    )
    return conv(x)


def several() -> keras.Model:
    """A model of two images of one shape, indices and truth values, which gives a map and scores.

    TensorFlow's converter would reorder both the inputs and the outputs.
    """
    keras.utils.set_random_seed(0)
    zeta, a = keras.Input((8, 8, 3), name="zeta"), keras.Input((8, 8, 3), name="a")
    ids, flag = keras.Input((5,), dtype="int32", name="ids"), keras.Input((2,), dtype="bool", name="flag")
    features = binary(keras.layers.Subtract()([zeta, a]), name="map")
    words = keras.layers.Flatten()(keras.layers.Embedding(7, 3)(ids))
    rest = tf.cast(flag, "float32")
    flat = keras.layers.Concatenate()([keras.layers.Flatten()(features), words, rest])
    scores = keras.layers.Dense(4, activation="softmax", name="b")(flat)
    return randomize(keras.Model([zeta, a, ids, flag], [features, scores]))


def random_inputs(model: keras.Model, count: int, seed: int = 0) -> list[np.ndarray]:
    """Draws inputs of a model, in the model's order."""
    rng = np.random.default_rng(seed)
    kinds: dict[str, Any] = {"f": lambda size: rng.normal(size=size), "i": lambda size: rng.integers(0, 7, size)}
    kinds["b"] = lambda size: rng.integers(0, 2, size)
    dtypes = [np.dtype(t.dtype.as_numpy_dtype) for t in model.inputs]
    return [kinds[d.kind]((count, *t.shape[1:])).astype(d) for t, d in zip(model.inputs, dtypes, strict=True)]
