"""Deployment graphs in LCE's converter and interpreter: outputs are right, and binary layers are binary operators."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign
from bduo_tf.backend import keras, lq
from bduo_tf.conversion.inspection import operators
from tests.bduo_tf.graphs import (
    FEW,
    GENERATE,
    MANY,
    Activation,
    Branches,
    Conv,
    Pool,
    PoolThenNorm,
    Program,
    Residual,
    convs,
    differing_images,
    images_for,
    norm,
    outputs_of,
    randomize,
)
from tests.bduo_tf.test_deployment_property import binary_model, is_binary

lce = pytest.importorskip("larq_compute_engine")


def run(file: bytes, images: np.ndarray) -> np.ndarray:
    """Runs a file in LCE's interpreter; returns all outputs in the order of their names, (images, numbers)."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    outputs = Interpreter(file, num_threads=1).predict(images)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return np.concatenate([np.reshape(y, (len(images), -1)) for y in outputs], axis=-1)


def check(model: keras.Model, images: np.ndarray, float_convolutions: int = 1) -> tuple[Counter[str], np.ndarray]:
    """Converts a model and compares outputs; returns the operators of the file and the outputs of the graph."""
    graph = bduo_tf.to_lce_graph(model)
    file = lce.convert_keras_model(graph)

    found = Counter(operators(file))
    assert found["LceBconv2d"] == sum(map(is_binary, graph.layers)) > 0
    assert found["CONV_2D"] == float_convolutions
    assert found["LceDequantize"] == 0
    # The comparisons are the operands directly: LCE reads their signs only.
    assert 0 < found["LceQuantize"] <= found["LceBconv2d"]

    expected, got = outputs_of(graph, images), run(file, images)
    # The interpreter and Keras round the float convolution differently: see `ties` of `assert_same_function`.
    assert differing_images(expected, got) <= 1
    return found, expected


EXAMPLES = {
    "baseline": (Conv(5, levels=1), Conv(3, levels=1)),
    "two levels, odd channels": (Conv(5, levels=2), Conv(7, levels=2, scale="channel")),
    "three levels": (Conv(5, levels=3), Conv(3, levels=3)),
    "four levels, valid": (Conv(5, 3, padding="valid", levels=4), Conv(3, 2, padding="valid", levels=4)),
    "stride 2, same": (Conv(5, 3, strides=2), Conv(3, 2, strides=2)),
    "stride 2, valid": (Conv(5, 3, strides=2, padding="valid"), Conv(3, 2)),
    "groups": (Conv(3, groups=5, levels=1), Conv(2, groups=3)),
    "DoReFa and Heaviside": (Conv(levels="dorefa1"), Conv(levels="heaviside", scale="sign"), Conv(levels="dorefa2")),
    "dilation": (Conv(5, 3, dilation=2), Conv(3, 3, dilation=2, padding="valid")),
    "pool then norm": (PoolThenNorm(Conv(33), 2), PoolThenNorm(Conv(5, levels=3), 2)),
    "norm then pool": (Conv(5), Pool("max", 2, 2, "valid", False), Conv(3)),
    "residual sums": (Residual(Conv()), Residual(Conv(levels=3))),
    "branches, bias and relu": (Branches(Conv(bias=True), Conv(2, 1, activation="relu")), Conv(bias=True)),
    "shared activation": (Conv(), Activation(2, False, "max", (Conv(), Conv(kernel=1)))),
}


@pytest.mark.parametrize("steps", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_file_computes_what_the_graph_computes(steps):
    program = Program(steps, heads=("dense",), channels=5, zero_gamma=True, seed=7)
    model = binary_model(program)
    assert has_falling_channels(model)
    expected = check(model, program.images())[1]
    assert np.ptp(expected, axis=0).max() > 0.01, "the images make no difference"


def has_falling_channels(model: keras.Model) -> bool:
    return any((layer.gamma.numpy() < 0).any() for layer in model.layers if hasattr(layer, "gamma"))


@pytest.mark.parametrize("head", ["conv1d causal", "conv1d same", "dense of pixels"])
def test_other_layers_are_binary_convolutions(head):
    program = Program((Pool("max", 2, 2, "valid", True),), heads=(head,), head=Conv(3, 2, levels="dorefa2"), channels=5)
    found, _ = check(binary_model(program), program.images())
    assert found["LceBconv2d"] == 1


def test_larqs_own_binary_layers_beside_ours():
    sign = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "use_bias": False}
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = norm(keras.layers.Conv2D(6, 3)(image))
    ours = Conv(6, levels=2).layer(6)(x)
    larqs = lq.layers.QuantConv2D(6, 3, padding="same", pad_values=1.0, **sign)(x)
    x = norm(keras.layers.Add()([ours, larqs]))
    x = lq.layers.QuantConv2D(4, 3, **sign)(x)
    x = keras.layers.Dense(3)(keras.layers.Flatten()(norm(x)))
    model = randomize(keras.Model(image, x), 0)
    binary, images = bduo_tf.decouple(model), images_for(0)
    file = lce.convert_keras_model(bduo_tf.to_lce_graph(binary))
    assert operators(file)["LceBconv2d"] == 3
    assert differing_images(outputs_of(binary, images), run(file, images)) <= 1


@pytest.mark.parametrize("bits", [1, 2])
def test_a_larq_network_of_dorefa_activations(bits):
    """LCE's converter leaves such layers in float (compute-engine issues 745 and 803); deployment makes them binary."""

    def quant(filters):
        return lq.layers.QuantConv2D(
            filters,
            3,
            padding="same",
            input_quantizer=lq.quantizers.DoReFa(bits),
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
        )

    keras.utils.set_random_seed(bits)
    image = x = keras.Input((16, 16, 3))
    x = norm(keras.layers.Conv2D(32, 3, padding="same", use_bias=False)(x))
    for filters in (128, 256, 256):
        x = norm(keras.layers.MaxPool2D(2, strides=1)(quant(filters)(x)))
    x = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(x))
    model = randomize(keras.Model(image, x), 0)
    images = images_for(0, 16, (16, 16, 3))
    before = outputs_of(model, images)

    binary = bduo_tf.decouple(model) if bits > 1 else model
    file = lce.convert_keras_model(bduo_tf.to_lce_graph(binary))
    unconverted = lce.convert_keras_model(model)

    assert (operators(unconverted).get("LceBconv2d", 0), operators(file)["LceBconv2d"]) == (0, 3)
    after = run(file, images)
    np.testing.assert_array_equal(after.argmax(-1), before.argmax(-1))
    assert differing_images(before, after) <= 1
    assert 8 * len(file) <= len(unconverted)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_dense_layers_are_binary_convolutions(levels):
    program = Program((Pool("max", 2, 2, "valid", True),), heads=("dense",), head=Conv(levels=levels), channels=5)
    found, _ = check(binary_model(program), program.images())
    assert found["LceBconv2d"] == 1
    assert found["FULLY_CONNECTED"] == 0


def test_decoupled_vgg7():
    keras.utils.set_random_seed(0)
    model = bduo_tf.networks.vgg7((16, 16, 1), width=0.2)
    randomize(model, 0)
    found, _ = check(bduo_tf.decouple(model), images_for(0, 24, (16, 16, 1)), float_convolutions=2)
    assert found["LceBconv2d"] == found["LceQuantize"] == 5


def test_the_papers_vgg7_is_five_binary_convolutions_in_260_kb():
    graph = bduo_tf.to_lce_graph(bduo_tf.decouple(bduo_tf.networks.vgg7((32, 32, 3), 10)))
    file = lce.convert_keras_model(graph)
    assert operators(file)["LceBconv2d"] == 5
    assert len(file) <= 260_000


@settings(max_examples=FEW, phases=GENERATE)
@given(first=convs(deployable=True), second=convs(deployable=True), seed=st.integers(0, 99))
def test_random_convolutions(first, second, seed):
    program = Program((first, PoolThenNorm(second, 2)), seed=seed, channels=4)
    check(binary_model(program), program.images())


@pytest.mark.slow
@settings(max_examples=MANY, phases=GENERATE)
@given(first=convs(deployable=True), second=convs(deployable=True), seed=st.integers(0, 99))
def test_many_random_convolutions(first, second, seed):
    program = Program((first, PoolThenNorm(second, 2)), seed=seed, channels=4)
    check(binary_model(program), program.images())


def one_dimensional(levels):
    image = keras.Input((12, 4))
    x = norm(keras.layers.Conv1D(6, 3, padding="same")(image))
    for _ in range(2):
        x = keras.layers.Add()([x, norm(quant1d(levels)(x))])
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)))


def quant1d(levels):
    options = {"kernel_quantizer": ScaledSign(), "padding": "same", "use_bias": False}
    return lq.layers.QuantConv1D(6, 3, input_quantizer=CoupledStep(levels), **options)


def relu_stream(levels):
    image = keras.Input((12, 4))
    x = keras.layers.ReLU()(keras.layers.Conv1D(6, 3, padding="same")(image))
    x = keras.layers.Add()([x, norm(quant1d(levels)(x))])
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(x)))


def reshaped_stream(levels):
    image = keras.Input((6, 6, 3))
    x = keras.layers.Reshape((36, 6))(norm(keras.layers.Conv2D(6, 3, padding="same")(image)))
    x = keras.layers.Add()([x, norm(quant1d(levels)(x))])
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)))


def dense_stream(levels):
    image = keras.Input((4, 4, 3))
    x = keras.layers.Flatten()(norm(keras.layers.Conv2D(2, 3, padding="same")(image)))
    quantizers = {"input_quantizer": CoupledStep(levels), "kernel_quantizer": ScaledSign()}
    x = keras.layers.Add()([x, norm(lq.layers.QuantDense(32, use_bias=False, **quantizers)(x))])
    return keras.Model(image, keras.layers.Dense(3)(x))


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("make", [one_dimensional, relu_stream, reshaped_stream, dense_stream])
def test_a_stream_that_is_read_directly_and_in_another_shape(make, levels):
    """TFLite subtracts in place; LCE's version overlooks who else reads the memory behind a change of the shape."""
    keras.utils.set_random_seed(0)
    model = randomize(make(levels), 0)
    binary = bduo_tf.decouple(model) if levels > 1 else model
    images = images_for(0, 16, model.input_shape[1:])
    file = lce.convert_keras_model(bduo_tf.to_lce_graph(binary))
    assert differing_images(outputs_of(binary, images), run(file, images)) <= 1
