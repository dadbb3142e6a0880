"""Counting operators: a binary layer that silently became float must be seen."""

import larq_compute_engine as lce
import pytest

import bduo_tf
from bduo_tf._keras import keras
from bduo_tf.deployment import deploy
from convert.inspection import cost, expected_operators, operators
from convert.tflite import convert_float32, convert_int8, convert_lce
from tests.convert.models import decoupled, small_vgg7

import numpy as np  # isort: skip


@pytest.mark.parametrize("make", [decoupled, lambda: small_vgg7("baseline")], ids=["decoupled", "baseline"])
def test_five_binary_convolutions_and_two_float_ones(make):
    graph = deploy(make()).graph
    found = operators(convert_lce(graph))
    assert (found["LceBconv2d"], found["LceQuantize"], found["CONV_2D"]) == (5, 5, 2)
    assert expected_operators(graph, found) == []


def test_a_float_fallback_is_reported():
    graph = deploy(decoupled()).graph
    # Without the deployment graph LCE leaves 0/1 activations in float: the outputs would be right all the same.
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
    network = bduo_tf.networks.alexnet((32, 32, 1), 10, "baseline", width=0.05)  # dropout of an activation
    graph = bduo_tf.to_lce_graph(network)
    first, last = graph.get_layer("conv1"), graph.get_layer("conv8")
    floats = first.output_shape[1] * first.output_shape[2] * 25 * first.filters + last.kernel.shape[-2] * 10
    assert cost(convert_lce(graph)).macs[32] == floats
