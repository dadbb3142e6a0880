"""Explicit padding before float convolutions, which LCE's converter takes into the convolution, sometimes wrongly."""

import itertools

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras, tf
from bduo_tf.conversion.inspection import operators
from bduo_tf.deployment._padding import margins_read
from tests.bduo_tf.graphs import images_for, outputs_of

lce = pytest.importorskip("larq_compute_engine")

L = keras.layers


def run(file, images):
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    return np.reshape(Interpreter(file).predict(images), (len(images), -1))


def side_by_side(branches, shape, name=""):
    """Puts many small models into one, since LCE's converter takes a second or two for each file."""
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    return keras.Model(image, L.Concatenate()([L.Flatten()(branch(image)) for branch in branches]))


def check(model):
    images = images_for(0, 4, model.input_shape[1:])
    graph = bduo_tf.to_lce_graph(model)
    expected = outputs_of(model, images)
    np.testing.assert_allclose(outputs_of(graph, images), expected, atol=1e-4)
    file = lce.convert_keras_model(graph)
    np.testing.assert_allclose(run(file, images), expected, atol=1e-4)
    return file


CONVS = {
    "Conv2D": lambda **kwargs: L.Conv2D(2, **kwargs),
    "DepthwiseConv2D": lambda **kwargs: L.DepthwiseConv2D(**kwargs),
    "SeparableConv2D": lambda **kwargs: L.SeparableConv2D(2, **kwargs),
}


@pytest.mark.parametrize(
    ("kind", "size"),
    [("Conv2D", (12, 12)), ("Conv2D", (13, 11)), ("DepthwiseConv2D", (12, 12)), ("SeparableConv2D", (13, 11))],
)
def test_every_padding_stride_and_kernel(kind, size):
    def branch(margin, kernel, strides):
        conv = CONVS[kind](kernel_size=kernel, strides=strides, padding="valid")
        return lambda x: conv(L.ZeroPadding2D(margin)(x))

    margins = [1, 3, ((0, 1), (0, 1)), ((3, 2), (2, 3))]
    strides = [1, 2, 3] if kind == "Conv2D" else [2]
    check(side_by_side([branch(*case) for case in itertools.product(margins, [1, 3, 7], strides)], (*size, 2)))


def test_the_stem_of_keras_own_resnets():
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = L.Conv2D(4, 7, strides=2, name="conv1_conv")(L.ZeroPadding2D(3, name="conv1_pad")(image))
    x = L.MaxPooling2D(3, strides=2)(L.ZeroPadding2D(1)(L.ReLU()(L.BatchNormalization()(x))))
    check(keras.Model(image, x))


def test_padding_by_tensorflows_operation():
    conv, margins = L.Conv2D(2, 7, strides=2), [[0, 0], [3, 3], [3, 3], [0, 0]]
    check(
        side_by_side(
            [lambda x, given=given: conv(tf.pad(x, given)) for given in (margins, np.array(margins))], (12, 12, 2)
        )
    )
    reflect, ones = L.Conv2D(2, 3, strides=2), L.Conv2D(2, 3, strides=2)
    check(
        side_by_side(
            [
                lambda x: reflect(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT")),
                lambda x: ones(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0)),
            ],
            (12, 12, 2),
        )
    )


def test_dilation_and_several_readers():
    dilated, other = L.Conv2D(2, 3, dilation_rate=2), L.Conv2D(2, 7, strides=2)
    check(
        side_by_side(
            [
                lambda x: dilated(L.ZeroPadding2D(2)(x)),
                lambda x: L.Concatenate()([other(y := L.ZeroPadding2D(3)(x)), L.MaxPool2D(7, 2)(y)]),
                lambda x: other(L.ZeroPadding2D(3)(x)),
            ],
            (12, 12, 2),
        )
    )


def test_padding_that_is_that_of_same_costs_nothing():
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 2))
    same = keras.Model(image, L.Conv2D(2, 3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(image)))
    assert "PAD" not in operators(check(same))
    another = keras.Model(image, L.Conv2D(2, 3, strides=2)(L.ZeroPadding2D(1)(image)))
    assert "PAD" in operators(check(another))


@pytest.mark.parametrize(
    ("size", "margins", "kernel", "strides", "needed"),
    [
        (224, (3, 3), 7, 2, (3, 2)),  # the stem of ResNet
        (225, (3, 3), 7, 2, (3, 3)),
        (12, (1, 1), 3, 1, (1, 1)),
        (12, (1, 1), 1, 2, (1, 0)),  # no window reads beyond the image
        (None, (3, 3), 7, 2, (3, 3)),
    ],
)
def test_margins_that_are_read(size, margins, kernel, strides, needed):
    conv = L.Conv2D(1, kernel, strides=strides)
    assert margins_read((margins, margins), (size, size), conv) == (needed, needed)


def test_a_norm_before_a_max_pool_is_part_of_its_float_convolution():
    """The pool must not be moved before the norm: the file would have a multiplication and an addition more."""
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 2))
    norm = L.BatchNormalization()
    x = L.MaxPool2D()(norm(L.Conv2D(4, 3)(image)))
    model = keras.Model(image, L.AveragePooling2D()(x))
    norm.gamma.assign([1.0, -1.0, 0.5, -2.0])
    found = operators(check(model))
    assert (found.get("MUL", 0), found.get("ADD", 0)) == (0, 0)
