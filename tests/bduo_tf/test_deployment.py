"""The layers and weights of deployment graphs in small cases worked out by hand, and what deployment refuses."""

import logging

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign, ThresholdSplit
from bduo_tf.backend import keras, lq, tf
from bduo_tf.deployment import deploy, flipped_activations
from bduo_tf.deployment._layers import ThresholdCompare
from tests.bduo_tf.graphs import Activation, Conv, Plain, Program, Residual, images_for, outputs_of


def binary(kind, *args, name="bad", **kwargs):
    options = {"input_quantizer": CoupledStep(1), "kernel_quantizer": ScaledSign(), "name": name, **kwargs}
    return getattr(lq.layers, kind)(*args, **options)


def around(layer, shape=(8, 8, 4)):
    x = keras.Input(shape)
    return keras.Model(x, layer(x), name="net")


def test_a_dense_layer_by_hand():
    layer = binary("QuantDense", 2, name="dense")
    model = around(layer, (3,))
    with lq.context.quantized_scope(False):
        layer.set_weights([np.array([[1, -4], [-2, 5], [3, -3]], np.float32), np.array([10, 20], np.float32)])
    deployment = deploy(model)
    conv, compare = (deployment.graph.get_layer(name) for name in ("dense", "dense_compare"))
    assert isinstance(conv, lq.layers.QuantConv2D)
    with lq.context.quantized_scope(True):
        signs = tf.convert_to_tensor(conv.kernel).numpy()
    np.testing.assert_array_equal(signs, [[[[-1, 1], [1, -1], [-1, 1]]]])
    # The activation is on where x >= 0.5, which is where x > tau. The operand of the convolution is tau - x.
    np.testing.assert_array_equal(
        compare.get_weights()[0], np.full((1, 3), np.nextafter(np.float32(0.5), np.float32(0)))
    )
    images = np.array([[0.5, 0, 1], [0.4, 0.6, 0]], np.float32)
    np.testing.assert_allclose(deployment.graph(images), [[10 + 3 + 3, 20 - 3 - 3], [10 - 3, 20 + 3]], rtol=1e-6)


def test_thresholds_of_copies_in_the_order_of_the_comparison():
    split = ThresholdSplit(2, name="split")
    x = keras.Input((2,))
    y = binary("QuantDense", 3, name="dense")(split(x))
    model = keras.Model(x, y)
    split.set_weights([np.array([[-0.25, 0.25], [-0.125, 0.375]], np.float32)])
    tau = bduo_tf.to_lce_graph(model).get_layer("dense_compare").get_weights()[0]
    least_on = np.array([[0.25, 0.375], [0.75, 0.875]], np.float32)
    np.testing.assert_array_equal(tau, np.nextafter(least_on, np.float32(-np.inf)))


def layer_kinds(graph):
    return [type(layer).__name__ for layer in graph.layers]


def test_a_convolution_pool_norm_activation_is_one_comparison():
    program = Program((Conv(levels=2), Conv(levels=2)), heads=("float",))
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3)(x)
    y = binary("QuantConv2D", 4, 3, input_quantizer=CoupledStep(2), name="first")(y)
    y = keras.layers.BatchNormalization()(keras.layers.MaxPool2D()(y))
    y = binary("QuantConv2D", 4, 3, input_quantizer=CoupledStep(2), name="second", padding="same")(y)
    graph = bduo_tf.to_lce_graph(bduo_tf.decouple(keras.Model(x, y)))
    assert layer_kinds(graph) == [
        *("InputLayer", "Conv2D", "ThresholdCompare", "QuantConv2D", "MaxPooling2D", "ThresholdCompare"),
        *("QuantConv2D", "ChannelAffine"),
    ]
    assert graph.get_layer("second").input_shape[-1] == 8
    graph = bduo_tf.to_lce_graph(bduo_tf.decouple(program.model()))
    assert layer_kinds(graph).count("QuantConv2D") == 2


def test_only_falling_channels_are_turned_round():
    for gamma, oriented in ((1.0, False), (-1.0, True)):
        x = keras.Input((4,))
        norm = keras.layers.BatchNormalization()
        model = keras.Model(x, binary("QuantDense", 2, name="dense")(norm(x)))
        norm.gamma.assign([1, gamma, 1, 0])
        compare = bduo_tf.to_lce_graph(model).get_layer("dense_compare")
        assert compare.oriented == oriented
        if oriented:
            np.testing.assert_array_equal(compare.orientation, [1, -1, 1, 1])


def test_readers_of_one_activation_share_the_comparison():
    program = Program((Conv(), Activation(2, False, "max", (Conv(), Conv(kernel=1)))), heads=("float",))
    deployment = deploy(bduo_tf.decouple(program.model()))
    assert layer_kinds(deployment.graph).count("QuantConv2D") == 3
    assert sum(isinstance(layer, ThresholdCompare) for layer in deployment.graph.layers) == 2
    assert len(deployment.readers) == 2


def test_names_are_kept_and_dropout_and_nested_models_are_gone():
    inner = keras.Sequential([keras.Input((8, 8, 4)), binary("QuantConv2D", 4, 3, name="inside")], name="nested")
    x = keras.Input((8, 8, 4), name="image")
    y = keras.layers.Dropout(0.5, name="dropout")(inner(x))
    model = keras.Model(x, keras.layers.ReLU(name="relu")(y), name="net")
    graph = bduo_tf.to_lce_graph(model)
    names = [layer.name for layer in graph.layers]
    assert {"image", "inside", "relu"} < set(names)
    assert not {"dropout", "nested"} & set(names)
    assert graph.name == "net_lce"


def test_float_kernels_stay_float_behind_an_activation_layer():
    x = keras.Input((4, 4, 4))
    a = CoupledStep(2)(x)
    y = keras.layers.Conv2D(2, 2, groups=2)(keras.layers.MaxPool2D()(a))
    z = keras.layers.Conv2DTranspose(2, 2, strides=2)(keras.layers.MaxPool2D()(a))
    model = bduo_tf.decouple(keras.Model(x, [y, z, keras.layers.Dense(3)(a)]))
    graph = bduo_tf.to_lce_graph(model)
    images = images_for(0, 8, (4, 4, 4))
    np.testing.assert_allclose(outputs_of(graph, images), outputs_of(model, images), atol=1e-5)
    assert not any(isinstance(layer, ThresholdCompare) for layer in graph.layers)


def test_another_quantizer_behind_an_activation_layer_is_kept():
    x = keras.Input((4,))
    y = lq.layers.QuantDense(3, input_quantizer="ste_sign", kernel_quantizer=ScaledSign())(CoupledStep(1)(x))
    model = keras.Model(x, y)
    images = images_for(0, 8, (4,))
    np.testing.assert_allclose(bduo_tf.to_lce_graph(model)(images), model(images), atol=1e-6)


def test_a_model_without_binary_layers_stays_what_it_is():
    model = Program((Plain("relu"),), heads=("float",)).model()
    images = images_for(0)
    graph = bduo_tf.to_lce_graph(model)
    np.testing.assert_allclose(outputs_of(graph, images), outputs_of(model, images), atol=1e-5)
    assert flipped_activations(model, images) == {}


def test_flipped_activations_counts_by_layer():
    program = Program((Conv(levels=2), Residual(Conv(levels=3))), heads=("float",))
    model, images = bduo_tf.decouple(program.model()), program.images()
    flips = flipped_activations(model, images)
    assert [n for _, n in flips.values()] == [16 * 8 * 8 * 4 * 2, 16 * 8 * 8 * 4 * 3]
    assert all(0 <= f <= 4 for f, _ in flips.values())


def test_flips_are_found():
    program = Program((Conv(levels=2),), heads=("float",))
    deployment, images = deploy(bduo_tf.decouple(program.model())), program.images()
    probed = deployment.probes()(images).numpy()
    [(name, (before, total))] = deployment.count_flips(images, probed).items()
    probed[:, 0] *= -1
    probed[0, 5] *= -1
    assert deployment.count_flips(images, probed) == {name: (before + 17, total)}


# Errors.


def behind_activation(layer, shape=(8, 8, 4)):
    x = keras.Input(shape)
    return keras.Model(x, layer(CoupledStep(1, name="act")(x)))


def several_axes(axes):
    return keras.layers.BatchNormalization(axis=axes, name="bad")


REFUSED = {
    "coupled": (
        lambda: around(binary("QuantConv2D", 2, 3, input_quantizer=CoupledStep(3))),
        r"the activation of layer 'bad' is still coupled \(4 levels\). Call bduo_tf.decouple",
    ),
    "coupled activation": (lambda: around(CoupledStep(2, name="bad")), "layer 'bad' is still coupled .3 levels"),
    "float kernels": (
        lambda: around(binary("QuantConv2D", 2, 3, kernel_quantizer=None)),
        "'bad' has binary activations but float kernels",
    ),
    "transposed behind an activation": (
        lambda: behind_activation(lq.layers.QuantConv2DTranspose(4, 3, kernel_quantizer=ScaledSign(), name="bad")),
        "'bad' is a QuantConv2DTranspose",
    ),
    "3-D": (lambda: around(binary("QuantConv3D", 2, 3), (8, 8, 8, 4)), "'bad' is a QuantConv3D"),
    "transposed": (lambda: around(binary("QuantConv2DTranspose", 2, 3)), "'bad' is a QuantConv2DTranspose"),
    "depthwise": (
        lambda: around(
            lq.layers.QuantDepthwiseConv2D(
                3, input_quantizer=CoupledStep(1), depthwise_quantizer=ScaledSign(), name="bad"
            )
        ),
        "'bad' is a QuantDepthwiseConv2D",
    ),
    "separable": (
        lambda: around(
            lq.layers.QuantSeparableConv2D(
                2,
                3,
                input_quantizer=CoupledStep(1),
                depthwise_quantizer=ScaledSign(),
                pointwise_quantizer=ScaledSign(),
                name="bad",
            )
        ),
        "'bad' is a QuantSeparableConv2D",
    ),
    "norm of channels and rows": (
        lambda: around(lambda x: several_axes([1, 3])(binary("QuantConv2D", 2, 3, name="conv")(x))),
        "'bad' .BatchNormalization. has a scale for each channel and position of the output of a binary layer",
    ),
    "norm of channels and steps": (
        lambda: around(lambda x: several_axes([1, 2])(binary("QuantConv1D", 2, 3, name="conv")(x)), (8, 4)),
        "'bad' .BatchNormalization. has a scale for each channel and position of the output of a binary layer",
    ),
    "channels first": (
        lambda: around(binary("QuantConv2D", 2, 3, data_format="channels_first")),
        "'bad' has its channels first",
    ),
    "padding with ones": (
        lambda: around(binary("QuantConv2D", 2, 3, padding="same", pad_values=1.0)),
        "'bad' pads its activations with 1.0",
    ),
    "dense on volumes": (
        lambda: around(binary("QuantDense", 2), (3, 6, 5, 4)),
        r"'bad' reads a tensor of shape .*6, 5, 4",
    ),
    "unbuilt": (lambda: keras.Sequential([keras.layers.Dense(2)], name="net"), "'net' has no input shape yet"),
    "subclassed": (lambda: type("Net", (keras.Model,), {})(name="net"), "'net' is a subclass of keras.Model"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_the_name_of_the_layer(make, message):
    model = make()
    with pytest.raises(ValueError, match=f"^to_lce_graph: .*{message}"):
        bduo_tf.to_lce_graph(model)


def test_what_is_not_a_model_is_refused():
    with pytest.raises(TypeError, match="to_lce_graph: expected a Keras model, got QuantDense"):
        bduo_tf.to_lce_graph(binary("QuantDense", 2))


def test_valid_padding_ignores_the_value_of_the_padding():
    model = around(binary("QuantConv2D", 2, 3, padding="valid", name="conv"))
    assert bduo_tf.to_lce_graph(model).get_layer("conv").padding == "valid"


def test_larqs_advice_on_kernels_is_not_given_again(caplog):
    model = around(binary("QuantConv2D", 2, 3, name="conv"))
    logger = logging.getLogger("larq.layers_base")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        caplog.clear()
        bduo_tf.to_lce_graph(model)
        assert caplog.records == []
        assert logger.level == logging.WARNING
    finally:
        logger.setLevel(level)
