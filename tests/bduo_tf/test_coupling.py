"""Coupling a binary network: its widths, its layers, what it costs decoupled, and the errors that name a layer."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign, couple, coupling_report, decouple
from bduo_tf.backend import keras, lq, tf
from bduo_tf.layers import ChannelPad
from bduo_tf.networks import NETWORKS, alexnet, duo_widths, paper_widths, resnet18, vgg7
from bduo_tf.quantizers import step_of
from tests.bduo_tf.graphs import FEW, GENERATE, Program, images_for, programs, step_kinds
from tests.bduo_tf.test_decoupling_property import EXAMPLES

L = keras.layers


def conv(filters, size=3, *, step="ste_sign", kernel="ste_sign", **kwargs):
    options = {"padding": "same", "use_bias": False, **kwargs}
    return lq.layers.QuantConv2D(filters, size, input_quantizer=step, kernel_quantizer=kernel, **options)


def stem(channels=32, shape=(8, 8, 3), name="stem"):
    image = keras.Input(shape)
    return image, L.Conv2D(channels, 3, padding="same", use_bias=False, name=name)(image)


def classified(image, x, classes=5):
    return keras.Model(image, L.Dense(classes, name="logits")(L.GlobalAveragePooling2D()(x)), name="net_baseline")


def kernels(model):
    names = ("kernel", "depthwise_kernel", "pointwise_kernel")
    return [getattr(layer, n) for layer in model._flatten_layers() for n in names if hasattr(layer, n)]


def weights(model):
    return sum(math.prod(kernel.shape) for kernel in kernels(model))


def channels(model):
    return {layer.name: layer.output_shape[-1] for layer in model.layers}


def check(model, levels=2):
    """Couples a model, decouples that, and asserts that it is binary, runs, and costs no more than the model."""
    coupled = couple(model, levels)
    assert {s.levels for layer in coupled._flatten_layers() if (s := step_of(layer))} == {levels}
    names = [layer.name for layer in coupled.layers if not isinstance(layer, L.InputLayer)]
    assert names == [layer.name for layer in model.layers if not isinstance(layer, L.InputLayer)]
    assert [t.shape.as_list() for t in coupled.inputs] == [t.shape.as_list() for t in model.inputs]
    assert [t.shape.as_list() for t in coupled.outputs] == [t.shape.as_list() for t in model.outputs]
    report = coupling_report(model, coupled)
    assert report.weights == (weights(model), weights(decouple(coupled)))
    assert report.weights[1] <= report.weights[0]
    assert report.macs[1] <= report.macs[0]
    return coupled


def test_vgg7_gets_the_papers_widths():
    baseline = vgg7(form="baseline")
    coupled = check(baseline)
    widths = duo_widths(vgg7, paper_widths("vgg7", "baseline"))
    assert widths == (45, 45, 90, 90, 336, 512)
    expected = vgg7(form="coupled", widths=widths)
    assert coupled.name == expected.name
    assert {v.name: v.shape for v in coupled.weights} == {v.name: v.shape for v in expected.weights}


@pytest.mark.parametrize(
    ("name", "levels"), [("vgg7", 2), ("vgg7", 3), ("alexnet", 2), ("resnet18_block", 2), ("quicknet_small", 2)]
)
def test_our_networks_come_near_to_the_baseline(name, levels):
    baseline = NETWORKS[name]((32, 32, 3), 10, form="baseline", width=0.125)
    report = coupling_report(baseline, check(baseline, levels))
    assert 0.95 < report.weights[1] / report.weights[0] <= 1
    assert 0.7 < report.macs[1] / report.macs[0] <= 1


def test_alexnets_dropout_and_activation_layers_are_kept():
    coupled = check(alexnet((32, 32, 3), 10, form="baseline", width=0.1))
    assert isinstance(coupled.get_layer("conv7_step"), CoupledStep)
    assert coupled.get_layer("dropout7").rate == 0.1


ACTIVATIONS = {
    "ste_sign": ("ste_sign", "relu1"),
    "ste_sign, clipped": (lq.quantizers.SteSign(1.25), "relu1"),
    "function": (lq.quantizers.ste_sign, "relu1"),
    "approx_sign": ("approx_sign", "approx_sign"),
    "swish_sign": ("swish_sign", "swish_sign"),
    "heaviside": (lq.quantizers.SteHeaviside(), "relu1"),
    "dorefa": (lq.quantizers.DoReFa(1), "relu1"),
    "step": (CoupledStep(1, "steep"), "steep"),
}


@pytest.mark.parametrize("as_layer", [False, True])
@pytest.mark.parametrize(("activation", "gradient"), ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_every_binary_activation_is_coupled(activation, gradient, as_layer):
    image, x = stem()
    if as_layer:
        activation = lq.quantizers.get(activation)
        x = L.Activation(activation, name="act")(x)
    x = conv(32, step=None if as_layer else activation, name="conv")(x)
    model = classified(image, x)
    coupled = check(model)
    step = coupled.get_layer("act") if as_layer else coupled.get_layer("conv").input_quantizer
    assert (step.levels, step.gradient) == (2, gradient)
    other = couple(model, gradient="steep")
    step = other.get_layer("act") if as_layer else other.get_layer("conv").input_quantizer
    assert step.gradient == "steep"


def test_padding_with_ones_becomes_zeros_and_all_else_stays():
    image, x = stem()
    x = conv(32, pad_values=1.0, kernel_constraint="weight_clip", name="a")(x)
    x = L.BatchNormalization(momentum=0.7, scale=False, name="norm")(x)
    x = conv(32, kernel=lq.quantizers.MagnitudeAwareSign(), strides=2, activation="relu", name="b")(x)
    coupled = check(classified(image, x))
    a, b = coupled.get_layer("a"), coupled.get_layer("b")
    assert a.pad_values == 0
    assert isinstance(a.kernel_constraint, lq.constraints.WeightClip)
    assert isinstance(a.kernel_quantizer, lq.quantizers.SteSign)
    assert isinstance(b.kernel_quantizer, lq.quantizers.MagnitudeAwareSign)
    assert (b.strides, b.activation) == ((2, 2), keras.activations.relu)
    norm = coupled.get_layer("norm")
    assert (norm.momentum, norm.scale, norm.moving_mean.shape[0]) == (0.7, False, a.filters)
    assert coupled.name == "net_coupled"


def test_added_channels_have_one_width():
    image, x = stem(32)
    y = conv(32, name="a")(x)
    x = L.Add(name="sum")([x, y])
    x = x + conv(32, name="b")(x)  # an operation of TensorFlow
    coupled = check(classified(image, conv(64, name="last")(x)))
    found = channels(coupled)
    assert found["stem"] == found["a"] == found["b"] == found["sum"]
    assert 16 <= found["a"] < 32
    assert found["last"] == 64  # nothing coupled reads them


def test_a_sum_of_concatenated_channels_splits_groups_where_their_borders_differ():
    image, x = stem(48, name="stem")
    parts = [conv(16, name="a")(x), conv(32, name="b")(x)]
    others = [conv(32, name="c")(x), conv(16, name="d")(x)]
    x = L.Add(name="sum")([x, L.Concatenate(name="ab")(parts), L.Concatenate(name="cd")(others)])
    x = tf.concat([x, conv(8, name="e")(x)], axis=-1)
    found = channels(check(classified(image, conv(16)(x))))
    assert found["a"] + found["b"] == found["c"] + found["d"] == found["stem"] == found["sum"] < 48


def test_gates_have_the_width_of_what_they_gate():
    image, x = stem(32)
    y = conv(32, name="conv")(x)
    z = L.Dense(4, activation="relu", name="squeeze")(L.GlobalAveragePooling2D()(x))
    z = L.Reshape((1, 1, 32), name="shaped")(L.Dense(32, activation="sigmoid", name="excite")(z))
    x = L.Add()([x, L.Multiply()([y, z])])
    map_ = L.Conv2D(1, 1, activation="sigmoid", name="map")(x)  # one channel, broadcast to all
    found = channels(check(classified(image, conv(16)(L.Multiply()([x, map_])))))
    assert found["excite"] == found["conv"] == found["shaped"] < 32
    assert (found["squeeze"], found["map"]) == (4, 1)


def test_depthwise_convolutions_follow_their_input():
    image, x = stem(32)
    x = L.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = conv(64, groups=64, name="grouped")(x)  # depthwise too, as `decouple` takes it
    coupled = check(classified(image, conv(32, 1)(x)))
    found = channels(coupled)
    assert found["depthwise"] == found["grouped"] == 2 * found["stem"] < 64
    assert coupled.get_layer("grouped").groups == found["grouped"]


def test_groups_stay_divisible():
    image, x = stem(32)
    x = conv(48, groups=4, name="a")(x)
    x = conv(60, groups=3, name="b")(x)
    found = channels(check(classified(image, conv(32)(x))))
    assert (found["stem"] % 4, found["a"] % 12, found["b"] % 3) == (0, 0, 0)
    assert found["b"] < 60


def test_flattened_pixels_and_padded_channels():
    image, x = stem(24)
    y = conv(32, name="wide")(x)
    x = L.Add()([ChannelPad(32, name="pad")(x), y])
    x = L.Flatten(name="flat")(x)
    dense = lq.layers.QuantDense(64, input_quantizer="ste_sign", kernel_quantizer="ste_sign", name="dense")
    x = L.Reshape((64 * 1,), name="shaped")(dense(x))
    x = lq.layers.QuantDense(5, input_quantizer="ste_sign", kernel_quantizer="ste_sign")(x)
    found = channels(check(keras.Model(image, x)))
    assert found["pad"] == found["wide"] < 32
    assert found["flat"] == 64 * found["wide"]
    assert found["shaped"] == found["dense"] < 64


def test_shared_layers_and_nested_models():
    entry = keras.Input((8, 8, 32))
    inner = keras.Model(entry, L.Add()([entry, conv(32, name="inner_conv")(entry)]), name="inner")
    image, x = stem(32)
    shared = conv(32, name="shared")
    x = inner(shared(inner(shared(x)), training=None))
    model = classified(image, conv(16)(x))
    coupled = check(model)
    found = channels(coupled)
    assert found["stem"] == coupled.get_layer("shared").filters < 32
    assert coupled.get_layer("inner").get_layer("inner_conv").filters == found["stem"]
    report = coupling_report(model, coupled)
    assert next(c for c in report.layers if c.name == "inner/inner_conv").macs[0] == 2 * 64 * 9 * 32 * 32


def test_layers_of_ones_own_pass_channels_on():
    class Scale(keras.layers.Layer):
        def build(self, shape):
            self.factors = self.add_weight(name="factors", shape=(1, 1, shape[-1]), initializer="ones")

        def call(self, x):
            return x * self.factors

    image, x = stem(32)
    x = Scale(name="scale")(conv(32, name="a")(x))
    x = L.Lambda(lambda t: 2 * t, name="double")(x)
    coupled = check(classified(image, conv(16)(x)))
    assert coupled.get_layer("scale").factors.shape[-1] == coupled.get_layer("a").filters < 32


def test_weights_that_training_does_not_change_are_kept():
    image = keras.Input((8, 8, 3))
    normalization = L.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 9.0], name="scaled")
    frozen = L.Conv2D(16, 1, trainable=False, name="frozen")
    x = L.Conv2D(32, 3, padding="same", name="stem")(frozen(normalization(image)))
    model = classified(image, conv(16)(x))
    coupled = couple(model)
    np.testing.assert_array_equal(coupled.get_layer("frozen").kernel, frozen.kernel)
    images = images_for(0)
    np.testing.assert_allclose(coupled.get_layer("scaled")(images), normalization(images))
    assert not coupled.get_layer("frozen").trainable


def test_the_model_is_untrained_and_drawn_from_the_seed():
    model = vgg7(form="baseline", width=0.1)
    before = model.get_weights()
    runs = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        runs.append(couple(model).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(runs[0], runs[1], strict=True))
    assert not np.array_equal(runs[0][0], runs[2][0])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_the_report_prints_a_row_for_each_layer():
    baseline = vgg7(form="baseline")
    lines = str(coupling_report(baseline, couple(baseline))).splitlines()
    assert len(lines) == 1 + 7 + 1
    assert lines[5].split() == ["conv5", "512", "336", "1,048,576", "967,680", "0.923", "1,048,576", "967,680", "0.923"]
    assert lines[-1].split()[:4] == ["all", "1,575,616", "1,573,229", "0.998"]
    with pytest.raises(ValueError, match="only one of the two networks has a layer"):
        coupling_report(baseline, resnet18((32, 32, 3), 10, width=0.1))


def binary(program):
    """A program of `tests.bduo_tf.graphs` with binary activations, and channels enough to be scaled."""

    def changed(value, name=""):
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: changed(getattr(value, f.name), f.name) for f in dataclasses.fields(value)}
            return dataclasses.replace(value, **fields)
        if name in ("levels", "wide") and not isinstance(value, str):
            return tuple(1 for _ in value) if isinstance(value, tuple) else value and 1
        if name == "levels":
            return {"dorefa2": "dorefa1"}.get(value, value)
        if name in ("filters", "channels"):
            return 8 * value
        return tuple(map(changed, value)) if isinstance(value, tuple) else value

    program = changed(program)
    return dataclasses.replace(program, head=dataclasses.replace(program.head, levels=program.head.levels or 1))


def check_program(program):
    model = binary(program).model()
    if not any((s := step_of(layer)) and s.levels == 1 for layer in model._flatten_layers()):
        with pytest.raises(ValueError, match="no binary activations"):
            couple(model)
        return False
    try:
        check(model)
    except ValueError as error:
        if "even the narrowest" in str(error):  # kernels of one channel
            return False
        raise
    return True


@pytest.mark.parametrize("name", EXAMPLES)
def test_graphs_of_all_kinds(name):
    steps = EXAMPLES[name]
    coupled = check_program(Program(steps, heads=("dense", "float"), channels=4, inputs=len(steps)))
    assert coupled


@pytest.mark.slow
@pytest.mark.parametrize("kind", step_kinds())
@settings(max_examples=FEW, phases=GENERATE)
@given(data=st.data())
def test_random_graphs(kind, data):
    check_program(data.draw(programs(kind)))


SIGNS = keras.Sequential(
    [
        keras.Input((8, 8, 3)),
        L.Conv2D(32, 3, padding="same", use_bias=False),
        L.BatchNormalization(scale=False),
        conv(32, pad_values=1.0),
        L.MaxPool2D(),
        L.BatchNormalization(scale=False),
        conv(64, pad_values=1.0),
        L.BatchNormalization(scale=False),
        L.GlobalAveragePooling2D(),
        L.Dense(5),
    ]
)


@pytest.mark.parametrize(
    "build",
    [
        lambda: SIGNS,
        lambda: vgg7((16, 16, 1), 5, form="baseline", width=0.2),
        lambda: resnet18((16, 16, 1), 5, form="baseline", width=0.1),
    ],
    ids=["signs", "vgg7", "resnet18"],
)
def test_the_decoupled_network_is_deployed(build):
    pytest.importorskip("larq_compute_engine")
    model = build()
    graph = bduo_tf.to_lce_graph(decouple(check(model)))
    binary_layers = [
        layer for layer in graph.layers if isinstance(getattr(layer, "input_quantizer", None), lq.quantizers.SteSign)
    ]
    before = [layer for layer in model.layers if getattr(layer, "input_quantizer", None) is not None]
    assert len(binary_layers) == len(before) > 0


def lambda_cut():
    image, x = stem(32)
    return classified(image, conv(16)(L.Lambda(lambda t: t[..., :16], name="cut")(x)))


def op_cut():
    image, x = stem(32)
    return classified(image, conv(16)(x[..., :16]))


def fixed_reshape():
    image, x = stem(32)
    return classified(image, conv(16)(L.Reshape((16, 16, 8), name="fold")(x)))


def sum_with_input():
    image = keras.Input((8, 8, 32))
    x = L.Add()([image, L.Conv2D(32, 3, padding="same")(image)])
    return classified(image, conv(16)(x))


def output_of_a_stream():
    image, x = stem(32)
    return keras.Model(image, [x, conv(16)(x)])


def own_channels():
    class Own(keras.layers.Layer):
        def __init__(self, channels=32, **kwargs):
            super().__init__(**kwargs)
            self.channels = channels

        def call(self, x):
            return x * tf.ones([self.channels])

        def get_config(self):
            return {**super().get_config(), "channels": self.channels}

    image, x = stem(32)
    return classified(image, conv(16)(Own(name="own")(x)))


def depthwise():
    image, x = stem(32)
    return classified(image, lq.layers.QuantDepthwiseConv2D(3, input_quantizer="ste_sign", name="depthwise")(x))


def inner_activation():
    image, x = stem(32)
    return classified(image, conv(16)(L.Conv2D(8, 1, activation=CoupledStep(1), name="inner")(x)))


def unknown_quantizer():
    image, x = stem(32)
    return classified(image, conv(16, step=lq.quantizers.MagnitudeAwareSign(), name="unknown")(conv(32)(x)))


def kernel_of_another_kind():
    class Squares(lq.quantizers.Quantizer):
        def call(self, x):
            return x * tf.reduce_sum(x**2)

    image, x = stem(32)
    return classified(image, conv(16, kernel=Squares(), name="squares")(x))


def too_narrow():
    image, x = stem(1)
    return classified(image, conv(1)(x), 1)


ERRORS = [
    (lambda_cut, r"32 channels of 'stem' are read .* layer 'cut' \(Lambda\)|16 channels of 'cut'"),
    (op_cut, r"channels of 'tf.__operators__.getitem"),
    (fixed_reshape, r"8 channels of 'fold' .* layer 'fold' \(Reshape\)"),
    (sum_with_input, "they are those of an input of the model"),
    (output_of_a_stream, "32 channels of 'stem' .* they are those of an output of the model"),
    (own_channels, r"layer 'own' \(Own\) does with them what cannot be told from its configuration"),
    (depthwise, r"layer 'depthwise' \(QuantDepthwiseConv2D\) .* as a QuantConv2D with as many groups as channels"),
    (inner_activation, "layer 'inner' has a binary activation as its argument `activation`"),
    (
        unknown_quantizer,
        "layer 'unknown' has the binary activation MagnitudeAwareSign, which is not known. Use ste_sign",
    ),
    (kernel_of_another_kind, "could not be decoupled after training. .* of layer 'squares'"),
    (too_narrow, "even the narrowest coupled network has, decoupled, more weights"),
    (lambda: vgg7(width=0.1), "is coupled already: layer 'coupled_step.*' has an activation of 2 levels"),
    (lambda: decouple(vgg7(width=0.1)), "layer 'conv2_split' is a ThresholdSplit: the network is decoupled already"),
    (lambda: vgg7(form="float", width=0.1), "has no binary activations. Give the layers"),
    (lambda: keras.Sequential([L.Dense(3)]), "has no input shape yet"),
]


@pytest.mark.parametrize(("build", "message"), ERRORS, ids=lambda x: getattr(x, "__name__", ""))
def test_errors_name_the_layer(build, message):
    with pytest.raises(ValueError, match=message):
        couple(build())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((1,), "levels must be a whole number from 2 on, not 1"), ((2.5,), "not 2.5"), ((True,), "not True")],
    ids=str,
)
def test_bad_levels_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        couple(SIGNS, *arguments)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="unknown gradient 'sharp'; known: relu1"):
        couple(SIGNS, gradient="sharp")
    with pytest.raises(TypeError, match="expected a Keras model, got str"):
        couple("vgg7")


def test_a_scale_for_each_channel_is_kept():
    image, x = stem(32)
    coupled = check(classified(image, conv(16, kernel=ScaledSign(per_channel=True), name="a")(x)))
    assert coupled.get_layer("a").kernel_quantizer.per_channel
