"""Operators are counted, so that a binary layer that silently became float is seen, and so are weights and MACs."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras, lq, tf
from bduo_tf.conversion.inspection import Cost, cost, expected_operators, operators
from bduo_tf.conversion.tflite import convert_float32, convert_int8, convert_lce
from bduo_tf.deployment import deploy
from tests.bduo_tf.conversion.models import decoupled, small_vgg7

import larq_compute_engine as lce  # isort: skip  # it imports TensorFlow, for which bduo_tf chooses the Keras


@pytest.mark.parametrize("make", [decoupled, lambda: small_vgg7("baseline")], ids=["decoupled", "baseline"])
def test_five_binary_convolutions_and_two_float_ones(make):
    graph = deploy(make()).graph
    found = operators(convert_lce(graph))
    assert (found["LceBconv2d"], found["LceQuantize"], found["CONV_2D"]) == (5, 5, 2)
    assert expected_operators(graph, found) == []


def test_a_float_fallback_is_reported():
    graph = deploy(decoupled()).graph
    # Without the deployment graph LCE leaves activations of 0 and 1 in float, and the outputs are right all the same.
    found = operators(lce.convert_keras_model(decoupled()))
    problems = expected_operators(graph, found)
    assert "LceBconv2d" not in found
    assert problems == [
        "0 LceBconv2d operators for 5 binary layers (conv2, conv3, conv4, conv5, conv6)",
        "7 float products for 2 float layers",
    ]


def test_operators_of_a_plain_file():
    inputs = keras.Input((4, 4, 1))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(keras.layers.MaxPool2D()(inputs)))
    model = keras.Model(inputs, outputs)
    found = operators(convert_float32(model))
    assert found["MAX_POOL_2D"] == found["FULLY_CONNECTED"] == 1
    images = [np.random.default_rng(i).uniform(-1, 1, (4, 4, 1)).astype(np.float32) for i in range(4)]
    assert operators(convert_int8(model, images))["QUANTIZE"] == 1


def test_cost_counts_kernels_and_macs_by_bits():
    model = decoupled()
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    counted = cost(convert_lce(bduo_tf.to_lce_graph(model)))
    assert counted.weights == sum(int(np.prod(k.shape)) for k in kernels)
    # conv1 at 16x16 reads one channel with 3x3 kernels, conv7 reads 128 channels.
    assert counted.macs[32] == 16 * 16 * 9 * 11 + 128 * 10
    assert set(counted.macs) == {1, 32}


def test_cost_sees_the_bits_of_activations_that_are_layers_of_their_own():
    network = bduo_tf.networks.alexnet((32, 32, 1), 10, "baseline", width=0.05)  # it drops out activations
    graph = bduo_tf.to_lce_graph(network)
    first, last = graph.get_layer("conv1"), graph.get_layer("conv8")
    floats = first.output_shape[1] * first.output_shape[2] * 25 * first.filters + last.kernel.shape[-2] * 10
    assert cost(convert_lce(graph)).macs[32] == floats


layers = keras.layers

# (layers, input shape, weights, multiply-accumulates); the latter two are counted by hand.
PRODUCTS = {
    "DepthwiseConv2D": (lambda x: layers.DepthwiseConv2D(3)(x), (8, 8, 3), 27, 36 * 27),
    "DepthwiseConv1D": (lambda x: layers.DepthwiseConv1D(3)(x), (8, 3), 9, 6 * 9),
    "SeparableConv2D": (lambda x: layers.SeparableConv2D(4, 3)(x), (8, 8, 3), 27 + 12, 36 * 39),
    "Conv2D of groups": (lambda x: layers.Conv2D(6, 3, groups=3)(x), (8, 8, 3), 54, 36 * 54),
    "dilated Conv2D": (
        lambda x: layers.Conv2D(4, 3, dilation_rate=2, padding="same")(x), (8, 8, 3), 108, 64 * 108,
    ),
    "Conv3D": (lambda x: layers.Conv3D(4, 2)(x), (4, 4, 4, 2), 64, 27 * 64),
    "Conv1DTranspose": (lambda x: layers.Conv1DTranspose(4, 3, strides=2)(x), (8, 3), 36, 8 * 36),
    "Conv2DTranspose": (lambda x: layers.Conv2DTranspose(4, 3, strides=2)(x), (8, 8, 3), 108, 64 * 108),
    "Conv3DTranspose": (lambda x: layers.Conv3DTranspose(4, 2)(x), (4, 4, 4, 2), 64, 64 * 64),
    "MultiHeadAttention": (
        lambda x: layers.MultiHeadAttention(2, 4)(x, x), (8, 6), 4 * 48, 8 * 4 * 48 + 2 * 2 * 8 * 8 * 4,
    ),
    "Dot": (lambda x: layers.Dot(1)([x, x]), (8, 6), 0, 6 * 6 * 8),
    "EinsumDense": (lambda x: layers.EinsumDense("abc,cd->abd", (None, 5))(x), (8, 6), 30, 8 * 30),
    "tf.matmul": (lambda x: tf.matmul(x, x, transpose_b=True), (8, 6), 0, 8 * 8 * 6),
    # The first step has no state to multiply.
    "unrolled LSTM": (lambda x: layers.LSTM(4, unroll=True)(x), (8, 6), 160, 8 * 96 + 7 * 64),
    "unrolled GRU": (lambda x: layers.GRU(4, unroll=True)(x), (8, 6), 120, 8 * 72 + 7 * 48),
    "GRU": (lambda x: layers.GRU(4)(x), (8, 6), 120, 8 * 120),  # it becomes a loop of eight turns
    "LSTM": (lambda x: layers.LSTM(4)(x), (8, 6), 160, 8 * 160),
    "LocallyConnected2D": (lambda x: layers.LocallyConnected2D(4, 3)(x), (8, 8, 3), 36 * 108, 36 * 108),
    "TimeDistributed": (lambda x: layers.TimeDistributed(layers.Conv2D(4, 3))(x), (2, 8, 8, 3), 108, 2 * 36 * 108),
    "Embedding": (lambda x: layers.Embedding(5, 4)(x), (8,), 0, 0),
}  # fmt: skip


@pytest.mark.parametrize(("call", "shape", "weights", "macs"), PRODUCTS.values(), ids=PRODUCTS)
def test_float_products_of_every_kind(call, shape, weights, macs):
    x = keras.Input(shape)
    model = keras.Model(x, call(x))
    file = convert_lce(model)
    assert expected_operators(model, operators(file)) == []
    assert cost(file) == Cost(weights, {32: macs} if macs else {})


def test_cost_is_that_of_one_image_of_a_batch():
    x = keras.Input((8, 8, 3), batch_size=4)
    assert cost(convert_lce(keras.Model(x, layers.Conv2D(4, 3)(x)))) == Cost(108, {32: 36 * 108})


def test_a_shared_kernel_is_counted_once_and_multiplied_twice():
    x, y = keras.Input((6,)), keras.Input((6,))
    dense = layers.Dense(4)
    assert cost(convert_lce(keras.Model([x, y], [dense(x), dense(y)]))) == Cost(24, {32: 48})


def test_eight_bit_products():
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Conv2D(4, 3)(x))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    assert cost(convert_int8(model, images)) == Cost(108, {8: 36 * 108})


@pytest.mark.parametrize(("groups", "calls"), [(1, 2), (2, 4)])
def test_binary_layers_of_groups_and_shared_ones(groups, calls):
    x = keras.Input((8, 8, 6))
    step, sign = bduo_tf.CoupledStep(1), bduo_tf.ScaledSign()
    conv = lq.layers.QuantConv2D(6, 3, groups=groups, padding="same", input_quantizer=step, kernel_quantizer=sign)
    graph = deploy(keras.Model(x, conv(layers.BatchNormalization()(conv(x))))).graph
    file = convert_lce(graph)
    assert operators(file)["LceBconv2d"] == calls
    assert expected_operators(graph, operators(file)) == []
    assert cost(file).macs[1] == 2 * 64 * 9 * 6 // groups * 6


def test_a_layer_called_again_on_the_same_tensor_is_one_operator():
    x = keras.Input((8, 8, 6))
    conv = lq.layers.QuantConv2D(6, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign")
    graph = keras.Model(x, layers.Multiply()([conv(x), conv(x)]))
    file = convert_lce(graph)
    assert operators(file)["LceBconv2d"] == 1
    assert expected_operators(graph, operators(file)) == []


def test_layers_known_to_stay_float_are_not_missed():
    graph = deploy(decoupled()).graph
    found = operators(convert_lce(graph))
    found["LceBconv2d"] -= 1
    assert expected_operators(graph, found, ["conv3"]) == []
    assert "4 LceBconv2d operators for 5 binary layers" in expected_operators(graph, found)[0]
