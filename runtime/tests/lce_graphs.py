"""Random Keras models of binary layers in every form that LCE's converter knows, and their conversion."""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import larq as lq
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf
import tf_keras as keras

Tensor = Any
Form = Callable[[np.random.Generator, Tensor], Tensor]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The converter writes much to file descriptor 2."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as null, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.dup2(null.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def convert(model: keras.Model, io: str = "float32", **options: Any) -> bytes:
    """The .tflite file; `io` is the type of inputs and outputs, the other options are LCE's."""
    dtype = tf.as_dtype(io)
    with quiet():
        return lce.convert_keras_model(model, inference_input_type=dtype, inference_output_type=dtype, **options)


def model_of(forms: list[Form], seed: int, shape: tuple[int, int, int]) -> keras.Model:
    """A model with one output for each form, on one input."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    x = keras.Input(shape)
    with quiet():
        return keras.Model(x, [form(rng, x) for form in forms])


def _channels(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 2, 7, 8, 16, 31, 32, 33, 40, 64, 70]))


def conv(rng: np.random.Generator, x: Tensor, padding: str | None = None, **options: Any) -> Tensor:
    """A binary convolution of random shape; `padding` "one" has bitpacked output if a sign follows."""
    padding = padding or str(rng.choice(["valid", "one", "zero"]))
    if padding == "zero" and x.shape[-1] % 2:
        padding = "one"  # LCE's reference convolution does not know it otherwise
    strides = int(rng.choice([1, 1, 2]))
    layer = lq.layers.QuantConv2D(
        **{
            "filters": _channels(rng),
            "kernel_size": (int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            "strides": strides,
            "dilation_rate": int(rng.choice([1, 2])) if strides == 1 else 1,
            "padding": "valid" if padding == "valid" else "same",
            "pad_values": 1.0 if padding == "one" else 0.0,
            "input_quantizer": "ste_sign",
            "kernel_quantizer": "ste_sign",
            "use_bias": False,
            **options,
        }
    )
    y = layer(x)
    layer.set_weights([rng.choice([-1.0, 1.0], w.shape) for w in layer.get_weights()])
    return y


def norm(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Batch normalization, some channels of it with negative or no scale."""
    layer = keras.layers.BatchNormalization()
    y = layer(x)
    n = x.shape[-1]
    gamma = rng.normal(size=n) * rng.choice([0.0, 1.0, 1.0, 1.0, 1.0], size=n)
    layer.set_weights([gamma, rng.normal(size=n), rng.normal(size=n) * 3, rng.uniform(0.5, 20, size=n)])
    return y


def pool(rng: np.random.Generator, x: Tensor) -> Tensor:
    size = int(rng.integers(2, 4))
    return keras.layers.MaxPool2D(size, strides=int(rng.integers(1, 3)), padding=str(rng.choice(["same", "valid"])))(x)


def compared(rng: np.random.Generator, x: Tensor, negated: bool = False, copies: int = 2) -> Tensor:
    """What bduo_tf emits between a value and the next binary convolution: concat(tau_k - x)."""
    n = x.shape[-1]
    if negated:
        x = x * tf.constant(rng.choice([-1.0, 1.0], n), tf.float32)
    taus = [tf.constant(rng.normal(size=n) * 3, tf.float32) for _ in range(copies)]
    return tf.concat([tau - x for tau in taus], axis=-1)


def plain(rng: np.random.Generator, x: Tensor) -> Tensor:
    return conv(rng, x)


def scaled(rng: np.random.Generator, x: Tensor) -> Tensor:
    return norm(rng, conv(rng, x))


def activated(rng: np.random.Generator, x: Tensor) -> Tensor:
    activation = str(rng.choice(["relu", "relu6"]))
    y = conv(rng, x, padding=str(rng.choice(["valid", "one"])), activation=activation)
    return norm(rng, y)


def chained(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Bitpacked output where the padding allows, a fused float sign where not."""
    return conv(rng, norm(rng, conv(rng, norm(rng, conv(rng, x)))), padding="valid", kernel_size=1)


def pooled(rng: np.random.Generator, x: Tensor) -> Tensor:
    return conv(rng, norm(rng, pool(rng, conv(rng, x))), padding="one")


def bit_pooled(rng: np.random.Generator, x: Tensor) -> Tensor:
    return conv(rng, pool(rng, norm(rng, conv(rng, x))), padding="one")


def thresholds(rng: np.random.Generator, x: Tensor) -> Tensor:
    y = conv(rng, x)
    return conv(rng, compared(rng, y, negated=bool(rng.integers(2)), copies=int(rng.integers(1, 4))), padding="one")


def pooled_thresholds(rng: np.random.Generator, x: Tensor) -> Tensor:
    y = pool(rng, norm(rng, conv(rng, x)))
    return conv(rng, compared(rng, y, negated=bool(rng.integers(2)), copies=int(rng.integers(1, 4))), padding="one")


def pooled_once(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Two copies of the same size of which only the second is pooled: no pool that both could share."""
    y = conv(rng, x, padding="one", strides=1, dilation_rate=1)
    pooled = keras.layers.MaxPool2D(3, strides=1, padding="same")(y)
    taus = [tf.constant(rng.normal(size=y.shape[-1]) * 3, tf.float32) for _ in range(2)]
    return conv(rng, tf.concat([taus[0] - y, taus[1] - pooled], axis=-1), padding="one")


def float_thresholds(rng: np.random.Generator, x: Tensor) -> Tensor:
    return conv(rng, compared(rng, x, negated=True, copies=int(rng.integers(2, 4))), padding="one")


def residual(rng: np.random.Generator, x: Tensor) -> Tensor:
    """A float stream that every convolution reads and adds to."""
    for _ in range(3):
        y = norm(rng, conv(rng, norm(rng, x), padding="one", filters=x.shape[-1], strides=1, dilation_rate=1))
        x = keras.layers.add([x, y])
    return x


def residual_thresholds(rng: np.random.Generator, x: Tensor) -> Tensor:
    for _ in range(3):
        y = conv(rng, compared(rng, x), padding="one", filters=x.shape[-1], strides=1, dilation_rate=1)
        x = keras.layers.add([x, norm(rng, y)])
    return x


def read_twice(rng: np.random.Generator, x: Tensor) -> Tensor:
    """A value between that something else reads as well: not to be fused away."""
    y = norm(rng, conv(rng, x, padding="one", strides=1, dilation_rate=1))
    z = conv(rng, compared(rng, y), padding="one", filters=y.shape[-1], strides=1, dilation_rate=1)
    return keras.layers.add([y * 2.0, z])


def signs(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Bits that become floats again."""
    return lq.quantizers.SteSign()(conv(rng, x, padding="valid")) * 0.5 + 1.0


def grouped(rng: np.random.Generator, x: Tensor) -> Tensor:
    y = conv(rng, x, padding="one", filters=64)
    return norm(rng, conv(rng, norm(rng, y), padding="one", groups=2, filters=int(rng.choice([2, 32, 64]))))


def unquantized(rng: np.random.Generator, x: Tensor) -> Tensor:
    """No binary layer at all."""
    return keras.layers.Conv2D(2, 3)(x)


def classifier(rng: np.random.Generator, x: Tensor) -> Tensor:
    """Three classes."""
    y = keras.layers.Conv2D(16, 3)(x)
    y = norm(rng, conv(rng, compared(rng, y), padding="one"))
    return keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(y))
