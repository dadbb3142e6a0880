"""Layers between an activation and the binary layers that read it: those that only move it move bits."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign
from bduo_tf.backend import keras, lq, tf
from bduo_tf.conversion.inspection import operators
from bduo_tf.deployment import deploy
from tests.bduo_tf.graphs import images_for, norm, outputs_of, randomize

lce = pytest.importorskip("larq_compute_engine")

L = keras.layers


def product(kind="conv", filters=4, quantizer=None):
    """A layer with binary kernels that reads the activation of a layer before it."""
    options = {"kernel_quantizer": quantizer or ScaledSign(), "use_bias": False, "name": "reader"}
    kinds = {
        "conv": lambda: lq.layers.QuantConv2D(filters, 3, **options),
        "conv1d": lambda: lq.layers.QuantConv1D(filters, 3, **options),
        "dense": lambda: lq.layers.QuantDense(filters, **options),
        "groups": lambda: lq.layers.QuantConv2D(filters, 3, groups=2, **options),
    }
    return kinds[kind]()


def model_of(move, kind, activation, offset=0.0):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = L.Rescaling(1.0, offset)(norm(L.Conv2D(6, 3, padding="same", use_bias=False)(image)))
    return randomize(keras.Model(image, norm(product(kind)(move(activation(x))))), 0)


MOVES = {
    "nothing": (lambda a: a, "conv"),
    "UpSampling2D": (lambda a: L.UpSampling2D()(a), "conv"),
    "Cropping2D": (lambda a: L.Cropping2D(((1, 2), (0, 1)))(a), "conv"),
    "max pool": (lambda a: L.MaxPool2D(3, 2, padding="same")(a), "conv"),
    "max pool of moved bits": (lambda a: L.MaxPool2D()(L.UpSampling2D()(a)), "conv"),
    "GlobalMaxPool2D": (lambda a: L.GlobalMaxPool2D()(a), "dense"),
    "GlobalMaxPool2D of moved bits": (lambda a: L.GlobalMaxPool2D()(L.Cropping2D()(a)), "dense"),
    "Flatten": (lambda a: L.Flatten()(a), "dense"),
    "Flatten of moved bits": (lambda a: L.Flatten()(L.Cropping2D(2)(a)), "dense"),
    "Reshape": (lambda a: L.Reshape((64, -1))(a), "conv1d"),
    "Reshape that mixes channels": (lambda a: L.Reshape((8, 4, -1))(a), "conv"),
    "Permute": (lambda a: L.Permute((2, 3, 1))(L.Cropping2D(((0, 1), (0, 0)))(a)), "conv"),
    "RepeatVector": (lambda a: L.RepeatVector(5)(L.GlobalMaxPool2D()(a)), "conv1d"),
    "Concatenate": (lambda a: L.Concatenate()([a, L.Permute((2, 1, 3))(a)]), "conv"),
    "Concatenate of rows": (lambda a: L.Concatenate(axis=1)([a, L.Cropping2D(((3, 3), (0, 0)))(a)]), "conv"),
    "slices": (lambda a: a[:, 1:, ::2, 1:5], "conv"),
    "tf.concat, tf.reverse": (lambda a: tf.concat([a, tf.reverse(a, [1])], -1), "groups"),
    "tf.transpose": (lambda a: tf.transpose(a, [0, 2, 1, 3]), "conv"),
    "tf.nn.space_to_depth": (lambda a: tf.nn.space_to_depth(a, 2), "conv"),
    "tf.split, tf.stack": (lambda a: tf.reshape(tf.stack(tf.split(a, 2, 1), 1), [-1, 8, 8, a.shape[-1]]), "groups"),
    "tf.repeat": (lambda a: tf.repeat(a, 2, axis=-1), "conv"),
    "dropout": (lambda a: L.SpatialDropout2D(0.5)(L.Activation("linear")(a)), "conv"),
}

ACTIVATIONS = {
    "step": lambda x: CoupledStep(1)(x),
    "Heaviside": lambda x: L.Activation(lq.quantizers.SteHeaviside())(x),
    "sign": lambda x: lq.quantizers.SteSign()(x),
    "sign as a function": lambda x: L.Activation(lq.quantizers.ste_sign)(x),
}


def check(model, binary_layers=1):
    images = images_for(0)
    deployment = deploy(model)
    expected = outputs_of(model, images)
    np.testing.assert_allclose(outputs_of(deployment.graph, images), expected, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.01
    assert deployment.floats == ()
    flips = deployment.count_flips(images, deployment.probes().predict_on_batch(images))
    assert flips
    assert all(flipped <= 1 for flipped, _ in flips.values())
    found = operators(lce.convert_keras_model(deployment.graph))
    assert found["LceBconv2d"] == binary_layers
    assert found.get("CONV_2D", 0) == 1
    return deployment, found


@pytest.mark.parametrize("activation", ["step", "sign"])
@pytest.mark.parametrize("move", MOVES)
def test_moved_activations_are_read_as_bits(move, activation):
    moved, kind = MOVES[move]
    # So few activations are on that a maximum over the image is not 1 everywhere.
    offset = -2.3 if move.startswith(("Global", "Repeat")) else 0.0
    check(model_of(moved, kind, ACTIVATIONS[activation], offset), binary_layers=2 if kind == "groups" else 1)


@pytest.mark.parametrize("activation", ["Heaviside", "sign as a function"])
def test_other_activations(activation):
    check(model_of(lambda a: L.UpSampling2D()(a), "conv", ACTIVATIONS[activation]))


@pytest.mark.parametrize("layers", [[L.ZeroPadding2D(((2, 1), (0, 3)))], [L.UpSampling2D(), L.ZeroPadding2D(1)]])
def test_the_zeros_of_a_padding_are_activations_that_are_off(layers):
    def move(a):
        for layer in layers:
            a = layer.from_config(layer.get_config())(a)
        return a

    check(model_of(move, "conv", ACTIVATIONS["step"]))


@pytest.mark.parametrize("move", ["UpSampling2D", "slices", "Concatenate", "Flatten of moved bits"])
def test_the_copies_of_a_decoupled_activation_move_together(move):
    moved, kind = MOVES[move]
    if move in ("slices", "Concatenate"):
        # decouple cannot widen these layers: they are tested behind a split made by hand.
        split = lambda x: CoupledStep(1)(bduo_tf.ThresholdSplit(2)(x))  # noqa: E731
        check(model_of(moved, kind, split))
    else:
        check(bduo_tf.decouple(model_of(moved, kind, lambda x: CoupledStep(2)(x))))


def test_a_convolution_of_an_up_sampled_activation_is_binary():
    """Between an activation that is a layer and a convolution with binary kernels, up-sampling keeps both binary."""
    image = keras.Input((8, 8, 3))
    x = norm(L.Conv2D(6, 3, padding="same")(image))
    x = product()(L.UpSampling2D()(CoupledStep(2)(x)))
    check(bduo_tf.decouple(randomize(keras.Model(image, x), 0)))


# Layers that stay float layers are named with the reason.


def floats_of(x, image):
    return deploy(keras.Model(image, x)).floats


def test_an_average_makes_floats():
    image = keras.Input((8, 8, 3))
    x = product()(L.AveragePooling2D(name="mean")(CoupledStep(1, name="step")(image)))
    [layer] = floats_of(x, image)
    assert (layer.name, layer.from_step) == ("reader", True)
    assert layer.reason == "'mean' (AveragePooling2D) makes floats of the binary activation of 'step'"


def test_floats_stay_floats_until_the_next_product():
    image = keras.Input((8, 8, 3))
    x = L.ReLU()(L.Rescaling(2.0, name="twice")(CoupledStep(1, name="step")(image)))
    [layer] = floats_of(product()(x), image)
    assert "'twice' (Rescaling)" in layer.reason
    [layer] = floats_of(product()(L.Conv2D(4, 1, name="between")(x)), image)
    assert (layer.reason, layer.from_step) == ("it reads the floats of 'between'", False)


def test_a_first_layer_with_binary_kernels_is_named_but_meant():
    image = keras.Input((8, 8, 3), name="image")
    [layer] = floats_of(product()(image), image)
    assert (layer.name, layer.reason, layer.from_step) == ("reader", "it reads the floats of 'image'", False)


def test_other_reasons():
    image = keras.Input((8, 8, 4))
    sign = {"input_quantizer": "ste_sign", "name": "bad"}
    layer = lq.layers.QuantConv2D(4, 3, kernel_quantizer="ste_sign", padding="same", pad_values=-1.0, **sign)
    [found] = floats_of(layer(image), image)
    assert (found.reason, found.from_step) == ("it pads its activations with -1.0", True)
    layer = lq.layers.QuantDepthwiseConv2D(3, depthwise_quantizer="ste_sign", **sign)
    [found] = floats_of(layer(image), image)
    assert "is a QuantDepthwiseConv2D" in found.reason
    layer = L.TimeDistributed(lq.layers.QuantDense(4, kernel_quantizer="ste_sign", **sign), name="each")
    [found] = floats_of(layer(image), image)
    assert found.reason.startswith("it is inside of 'each' (TimeDistributed)")
    x = L.Concatenate(name="both")([CoupledStep(1, name="step")(image), lq.quantizers.SteSign(name="sign")(image)])
    [found] = floats_of(product()(x), image)
    assert "'both' (Concatenate) makes floats" in found.reason
    x = L.ZeroPadding2D(name="pad")(lq.quantizers.SteSign(name="sign")(image))
    [found] = floats_of(product()(x), image)
    assert "'pad' (ZeroPadding2D) makes floats of the binary activation of 'sign'" in found.reason


def test_a_layer_called_on_floats_and_on_bits_keeps_both_kernels_right():
    """The layer reads floats, copies side by side, and 0 and 1 that another step made of them and that were moved."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = norm(L.Conv2D(6, 3, padding="same", use_bias=False)(image))
    split = bduo_tf.ThresholdSplit(2)(x)
    layer = lq.layers.QuantConv2D(
        4, 3, input_quantizer=CoupledStep(1), kernel_quantizer=ScaledSign(), use_bias=False, padding="same"
    )
    moved = L.UpSampling2D()(CoupledStep(1)(split))[:, :8, :8, ::-1]
    model = randomize(keras.Model(image, norm(L.Add()([layer(split), layer(moved)]))), 0)
    deployment, _ = check(model, binary_layers=2)
    assert len(deployment.readers) == 2


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_binary_activation_that_only_float_layers_read(activation):
    """The input has exact zeros, which a ReLU makes: there a Heaviside step is off, and a sign is +1."""
    image = keras.Input((8, 8, 3))
    a = ACTIVATIONS[activation](L.ReLU()(image))
    model = keras.Model(image, [L.AveragePooling2D()(a), L.AveragePooling2D()(L.UpSampling2D()(a))])
    images = images_for(0)
    graph = bduo_tf.to_lce_graph(model)
    np.testing.assert_allclose(outputs_of(graph, images), outputs_of(model, images), atol=1e-6)
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    outputs = Interpreter(lce.convert_keras_model(graph)).predict(images)
    both = [np.reshape(y, (len(images), -1)) for y in outputs]
    expected = [np.reshape(y, (len(images), -1)) for y in model(images)]
    for got, wanted in zip(sorted(both, key=np.size), sorted(expected, key=np.size), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("activation", [CoupledStep(1), lq.quantizers.SteSign()], ids=["step", "sign"])
@pytest.mark.parametrize("first", ["float", "binary"])
def test_an_activation_given_to_the_layer_before(first, activation):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = norm(L.Conv2D(6, 3, padding="same")(image))
    # With an odd number of terms no sum is 0, where rounding would decide on the sign.
    options = {"padding": "same", "activation": activation, "bias_initializer": keras.initializers.Constant(0.1)}
    if first == "float":
        x, count = L.Conv2D(6, 3, **options)(image), 1
    else:
        quantizers = {"input_quantizer": CoupledStep(1), "kernel_quantizer": ScaledSign()}
        x, count = lq.layers.QuantConv2D(6, 3, **quantizers, **options)(x), 2
    check(randomize(keras.Model(image, norm(product()(x))), 0), binary_layers=count)


def test_an_activation_given_to_a_layer_that_reads_one_of_a_layer_before():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = CoupledStep(1)(norm(L.Conv2D(6, 3, padding="same")(image)))
    first = lq.layers.QuantConv2D(6, 3, kernel_quantizer=ScaledSign(), activation=CoupledStep(1))
    check(randomize(keras.Model(image, norm(product()(first(x)))), 0), binary_layers=2)


def test_the_same_call_again_is_the_same_convolution():
    """Converters merge equal operators, so that the file has one convolution, and the graph must have one too."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = norm(L.Conv2D(6, 3, padding="same", use_bias=False)(image))
    layer = lq.layers.QuantConv2D(4, 3, input_quantizer=CoupledStep(1), kernel_quantizer=ScaledSign())
    deployment, _ = check(randomize(keras.Model(image, norm(L.Add()([layer(x), layer(x)]))), 0))
    assert len(deployment.readers) == 1
