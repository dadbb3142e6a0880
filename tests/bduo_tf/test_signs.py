"""Activations that are signs, as in Larq's networks: what deployment folds into them, and which layers are binary."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras, lq
from bduo_tf.conversion.inspection import operators
from bduo_tf.deployment import deploy
from bduo_tf.deployment._layers import ThresholdCompare
from tests.bduo_tf.graphs import images_for, norm, outputs_of, randomize
from tests.bduo_tf.test_deployment_property import check_thresholds

lce = pytest.importorskip("larq_compute_engine")

L = keras.layers
SIGNS = {
    "ste_sign": "ste_sign",
    "approx_sign": "approx_sign",
    "swish_sign": "swish_sign",
    "clipped": lq.quantizers.SteSign(clip_value=1.25),
}


def quant(kind, *args, sign="ste_sign", kernel="ste_sign", **kwargs):
    return getattr(lq.layers, kind)(*args, input_quantizer=sign, kernel_quantizer=kernel, use_bias=False, **kwargs)


def network(*layers, shape=(8, 8, 3), seed=0):
    keras.utils.set_random_seed(seed)
    image = keras.Input(shape)
    conv = L.Conv2D if len(shape) == 3 else L.Conv1D
    x = norm(conv(6, 3, padding="same", use_bias=False)(image))
    for layer in layers:
        x = layer(x)
    return randomize(keras.Model(image, norm(x)), seed)


def check(model, binary_layers):
    """Deploys and converts a model, and asserts that the outputs of graph and file are those of the model."""
    images = images_for(0, 16, model.input_shape[1:])
    deployment = deploy(model)
    assert deployment.floats == ()
    assert sum(n for _, n in deployment.count_flips(images, probed(deployment, images)).values()) > 0
    flips = deployment.count_flips(images, probed(deployment, images))
    assert all(flipped <= 1 for flipped, _ in flips.values())
    expected, got = outputs_of(model, images), outputs_of(deployment.graph, images)
    assert (np.abs(expected - got).max(axis=-1) > 1e-4).sum() <= 1
    file = lce.convert_keras_model(deployment.graph)
    assert operators(file)["LceBconv2d"] == binary_layers
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    got = np.reshape(Interpreter(file).predict(images), (len(images), -1))
    assert (np.abs(expected - got).max(axis=-1) > 1e-3).sum() <= 1
    return deployment


def probed(deployment, images):
    return deployment.probes().predict_on_batch(images)


@pytest.mark.parametrize("sign", SIGNS)
def test_every_sign_of_larqs_is_folded_and_traced(sign):
    layers = [quant("QuantConv2D", 5, 3, sign=SIGNS[sign]), norm, quant("QuantConv2D", 4, 3, sign=SIGNS[sign])]
    deployment = check(network(*layers), 2)
    assert [reader.signs for reader in deployment.readers] == [True, True]
    # The norm between two convolutions becomes a threshold on integers.
    assert check_thresholds(deployment.graph) == 1


@pytest.mark.parametrize("pad_values", [0.0, 1.0])
@pytest.mark.parametrize("kernel", ["ste_sign", "magnitude_aware_sign"])
def test_padding_with_zeros_or_ones(pad_values, kernel):
    options = {"padding": "same", "pad_values": pad_values, "kernel": kernel}
    layers = [quant("QuantConv2D", 5, 3, **options), norm, quant("QuantConv2D", 4, 3, strides=2, **options)]
    check(network(*layers), 2)


@pytest.mark.parametrize("pad_values", [0.0, 1.0])
def test_zeros_of_a_padding_make_sums_of_either_parity(pad_values):
    model = network(quant("QuantConv2D", 5, 3, padding="same", pad_values=pad_values), norm, quant("QuantConv2D", 4, 3))
    graph = bduo_tf.to_lce_graph(model)
    tau = next(layer for layer in graph.layers if isinstance(layer, ThresholdCompare)).tau.numpy()
    # Thresholds are midway between neighbours, which are all integers or every second one.
    assert np.all(tau % 1 == (0.5 if pad_values == 0.0 else 0.0))


def test_dense_layers_are_binary_convolutions():
    layers = [L.Flatten(), quant("QuantDense", 12), norm, quant("QuantDense", 5)]
    check(network(*layers), 2)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_one_dimension(padding):
    layers = [quant("QuantConv1D", 5, 3, padding=padding), norm, quant("QuantConv1D", 4, 2, padding=padding)]
    check(network(*layers, shape=(12, 3)), 2)


def test_groups_and_dilation():
    options = {"padding": "same", "pad_values": 1.0}
    layers = [quant("QuantConv2D", 6, 3, groups=3, **options), norm, quant("QuantConv2D", 4, 3, dilation_rate=2)]
    check(network(*layers), 4)


def test_a_stream_of_floats_with_norms_before_the_signs():
    """As in DenseNet, each sign has a norm of its own, which reads the outputs of all layers before."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(6, 3, padding="same")(image)
    for _ in range(3):
        y = quant("QuantConv2D", 4, 3, padding="same", pad_values=1.0)(norm(x))
        x = L.Concatenate()([x, y])
    model = randomize(keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(norm(x)))), 0)
    deployment = check(model, 3)
    found = operators(lce.convert_keras_model(deployment.graph))
    assert found["SUB"] == 3  # LCE alone has a multiplication and an addition for each norm
    assert found["LceQuantize"] == 3


def test_a_stream_that_is_read_as_floats_too_needs_no_comparison():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = norm(L.MaxPool2D(2, 1)(L.ReLU()(norm(L.Conv2D(6, 3, padding="same")(image)))))
    for _ in range(2):
        x = L.Add()([x, norm(quant("QuantConv2D", 6, 3, padding="same", pad_values=1.0)(x))])
    model = randomize(keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x))), 0)
    deployment = check(model, 2)
    assert not any(isinstance(layer, ThresholdCompare) for layer in deployment.graph.layers)
    # Only the norm behind the pool is not part of a convolution.
    found = operators(lce.convert_keras_model(deployment.graph))
    assert (found.get("MUL", 0), found.get("SUB", 0)) == (1, 0)


def test_signs_that_are_flattened_need_no_comparison():
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, quant("QuantDense", 5)(L.Flatten()(lq.quantizers.SteSign()(image))))
    graph, images = bduo_tf.to_lce_graph(model), images_for(0, 8, (4, 4, 3))
    assert not any(isinstance(layer, ThresholdCompare) for layer in graph.layers)
    np.testing.assert_array_equal(graph(images), model(images))


def test_signs_of_exact_zeros():
    image = keras.Input((6, 6, 4))
    conv = quant("QuantConv2D", 3, 3, padding="same", pad_values=1.0)
    model = keras.Model(image, conv(L.ReLU()(image)))
    images = images_for(0, 8, (6, 6, 4))
    np.testing.assert_array_equal(bduo_tf.to_lce_graph(model)(images), model(images))


@pytest.mark.parametrize("training", [True, 1])
@pytest.mark.parametrize("layer", [L.BatchNormalization, lambda **kw: L.Dropout(0.5, **kw)])
@pytest.mark.parametrize("nested", [False, True])
def test_layers_that_are_to_act_as_in_training_are_refused(layer, nested, training):
    image = keras.Input((8, 8, 3))
    if nested:
        inner = keras.Sequential([keras.Input((8, 8, 3)), layer(name="bad")])
        x = inner(image, training=training)
    else:
        x = layer(name="bad")(image, training=training)
    with pytest.raises(ValueError, match=r"to_lce_graph: layer 'bad' .* is called with training=True"):
        bduo_tf.to_lce_graph(keras.Model(image, quant("QuantConv2D", 3, 3)(x)))


def test_a_nested_model_at_inference_is_inlined():
    image = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), L.Dropout(0.5), L.BatchNormalization()])
    model = randomize(keras.Model(image, quant("QuantConv2D", 3, 3)(inner(image, training=False))), 0)
    images = images_for(0)
    np.testing.assert_allclose(bduo_tf.to_lce_graph(model)(images), model(images), atol=1e-5)


def test_random_augmentation_does_nothing_at_inference():
    image = x = keras.Input((8, 8, 3))
    for layer in (L.RandomFlip(), L.RandomRotation(0.1), L.RandomZoom(0.1), L.RandomContrast(0.2), L.RandomHeight(0.1)):
        x = layer(x)
    model = keras.Model(image, L.GlobalMaxPool2D()(L.Conv2D(4, 3)(x)))
    graph = bduo_tf.to_lce_graph(model)
    assert not any("random" in layer.name for layer in graph.layers)
    images = images_for(0)
    np.testing.assert_allclose(graph(images), model(images, training=False), atol=1e-5)


def test_layers_with_default_names():
    """A saved network has Keras' default names, and the layers that deployment adds must have other ones."""
    keras.backend.clear_session()
    image = keras.Input((8, 8, 3))
    x = norm(L.Conv2D(4, 3)(image))
    x = L.Concatenate()([x, L.ReLU()(x)])
    x = L.Flatten()(L.Add()([quant("QuantConv2D", 4, 3)(x), quant("QuantConv2D", 4, 3)(x)]))
    model = keras.Model(image, quant("QuantDense", 3)(x))
    assert {"flatten", "concatenate"} <= {layer.name for layer in model.layers}
    config, weights = model.get_config(), model.get_weights()
    keras.backend.clear_session()
    model = keras.Model.from_config(config)
    model.set_weights(weights)
    deployment, images = deploy(model), images_for(0)
    assert probed(deployment, images).shape[0] == len(images)
    np.testing.assert_allclose(deployment.graph(images), model(images), atol=1e-4)
