"""What decoupling keeps, adds and refuses; test_decoupling_property.py tests that the function stays the same."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign, ThresholdSplit
from bduo_tf.backend import keras, lq, tf
from tests.bduo_tf.graphs import (
    IMAGE,
    Activation,
    Conv,
    MixedLevels,
    Nested,
    Program,
    Residual,
    assert_same_function,
    images_for,
    outputs_of,
)

SHARED_AND_NESTED = Program(
    (
        Residual(Conv(levels=3)),
        Nested(Conv(), Conv(levels=4), False, None, True),
        Activation(2, False, "max", (Conv(),)),
    ),
    heads=("dense", "float"),
    seed=3,
)


def quantized(model):
    return [layer for layer in model._flatten_layers() if getattr(layer, "input_quantizer", None) is not None]


def splits(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, ThresholdSplit)]


def test_names_are_kept_and_splits_named_after_their_layer():
    x = keras.Input((8, 8, 3), name="image")
    y = lq.layers.QuantConv2D(4, 3, input_quantizer=CoupledStep(2), name="conv")(x)
    y = CoupledStep(3, name="act")(y)
    y = keras.layers.MaxPool2D(name="pool")(y)
    y = lq.layers.QuantConv2D(5, 2, name="reader")(y)
    y = keras.layers.Activation(CoupledStep(2), name="wrapped")(y)
    y = keras.layers.Flatten(name="flat")(y)
    y = lq.layers.QuantDense(2, kernel_quantizer=ScaledSign(), name="dense")(y)
    decoupled = bduo_tf.decouple(keras.Model(x, y, name="coupled_net"))
    assert decoupled.name == "decoupled_net"
    assert [layer.name for layer in decoupled.layers] == [
        *("image", "conv_split", "conv", "act_split", "act", "pool", "reader"),
        *("wrapped_split", "wrapped", "flat", "dense"),
    ]
    assert {layer.name: layer.levels for layer in splits(decoupled)} == {
        "conv_split": 2,
        "act_split": 3,
        "wrapped_split": 2,
    }
    assert bduo_tf.decouple(keras.Model(x, y, name="net")).name == "net_decoupled"


def test_a_taken_name_is_numbered():
    x = keras.Input((4,), name="dense_split")
    y = lq.layers.QuantDense(2, input_quantizer=CoupledStep(2), name="dense")(x)
    decoupled = bduo_tf.decouple(keras.Model(x, y))
    assert [layer.name for layer in decoupled.layers] == ["dense_split", "dense_split_1", "dense"]


def test_kernels_are_repeated_and_divided_and_the_rest_is_equal():
    model = Program((Conv(3, 2, levels=3, bias=True), Conv(2, 3, groups=3, levels=2, scale=None)), seed=1).model()
    decoupled = bduo_tf.decouple(model)
    assert {layer.name for layer in model.layers} < {layer.name for layer in decoupled.layers}
    for layer in model.layers:
        other = decoupled.get_layer(layer.name)
        assert type(other) is type(layer)
        for variable, old, new in zip(layer.weights, layer.get_weights(), other.get_weights(), strict=True):
            if layer in quantized(model) and "kernel" in variable.name:
                n = layer.input_quantizer.levels
                old = np.repeat(old, n, axis=-2) / np.float32(n)
            np.testing.assert_array_equal(new, old)


def test_latent_kernels_are_read_not_their_signs():
    x = keras.Input((3,))
    y = lq.layers.QuantDense(2, input_quantizer=CoupledStep(2), kernel_quantizer=ScaledSign(), name="dense")(x)
    model = keras.Model(x, y)
    kernel = np.array([[1, -2], [3, 4], [-5, 6]], np.float32)
    with lq.context.quantized_scope(False):
        model.get_layer("dense").set_weights([kernel, np.zeros(2)])
        new = bduo_tf.decouple(model).get_layer("dense").get_weights()[0]
    np.testing.assert_array_equal(new, [[0.5, -1], [0.5, -1], [1.5, 2], [1.5, 2], [-2.5, 3], [-2.5, 3]])


def test_number_of_weights_added():
    model = Program((Conv(levels=3, filters=5), Conv(levels=2)), heads=("float",)).model()
    # The first kernel (3x3, 4 to 5 channels, 3 levels) gets two more copies and 12 thresholds; the second (3x3, 5 to 4
    # channels, 2 levels) one more copy and 10 thresholds.
    assert bduo_tf.decouple(model).count_params() - model.count_params() == 2 * 180 + 12 + 180 + 10


def test_nothing_stays_coupled_and_gradients_are_kept():
    x = keras.Input((8,))
    y = lq.layers.QuantDense(4, input_quantizer=CoupledStep(3, "steep", name="q"), name="a")(x)
    y = CoupledStep(2, "approx_sign", name="b")(y)
    decoupled = bduo_tf.decouple(keras.Model(x, keras.layers.Dense(2)(y)))
    steps = [s for s in decoupled._flatten_layers() if isinstance(s, CoupledStep)]
    assert [(s.name, s.levels, s.gradient) for s in steps] == [("q", 1, "steep"), ("b", 1, "approx_sign")]


def test_half_precision_is_refused():
    x = keras.Input((8, 8, 3))
    y = keras.layers.Conv2D(4, 3)(CoupledStep(2, name="act", dtype="mixed_bfloat16")(x))
    with pytest.raises(ValueError, match=r"'act' computes its coupled activation in bfloat16.*float32"):
        bduo_tf.decouple(keras.Model(x, y))


def test_the_model_is_not_compiled_and_not_decoupled_twice():
    model = SHARED_AND_NESTED.model()
    model.compile("sgd", "mse")
    decoupled = bduo_tf.decouple(model)
    assert decoupled.optimizer is None
    with pytest.raises(ValueError, match=r"'decoupled_graph' has nothing to decouple.*Was it decoupled before"):
        bduo_tf.decouple(decoupled)


def test_the_model_itself_is_untouched():
    model = SHARED_AND_NESTED.model()
    config, weights, images = model.get_config(), model.get_weights(), SHARED_AND_NESTED.images()
    expected = outputs_of(model, images)
    decoupled = bduo_tf.decouple(model)
    decoupled.set_weights([w + 1 for w in decoupled.get_weights()])
    assert str(model.get_config()) == str(config)
    for old, new in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(outputs_of(model, images), expected)
    assert not {id(v) for v in model.variables} & {id(v) for v in decoupled.variables}


def test_shared_layers_stay_shared():
    layer = lq.layers.QuantDense(5, input_quantizer=CoupledStep(2), name="shared")
    x = keras.Input((5,))
    decoupled = bduo_tf.decouple(keras.Model(x, layer(layer(x))))
    assert [type(layer).__name__ for layer in decoupled.layers] == ["InputLayer", "ThresholdSplit", "QuantDense"]
    assert decoupled.count_params() == 2 * 25 + 5 + 10


@pytest.mark.parametrize(
    "structure",
    [lambda a, b: [a, b], lambda a, b: {"first": a, "second": b}, lambda a, b: (a, b)],
    ids=["list", "dictionary", "tuple"],
)
def test_structure_of_inputs_and_outputs_is_kept(structure):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    dense = lq.layers.QuantDense(2, input_quantizer=CoupledStep(2))
    model = keras.Model(structure(a, b), structure(dense(a), keras.layers.Subtract()([dense(a), dense(b)])))
    decoupled = bduo_tf.decouple(model)
    images = structure(images_for(0, 4, (3,)), images_for(1, 4, (3,)))
    expected, got = model(images), decoupled(images)
    tf.nest.assert_same_structure(expected, got)
    tf.nest.map_structure(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), expected, got)


def test_sequential_model():
    model = keras.Sequential(
        [
            keras.layers.Conv2D(4, 3),
            lq.layers.QuantConv2D(3, 3, input_quantizer="coupled_step", kernel_quantizer="scaled_sign"),
            keras.layers.Flatten(),
            lq.layers.QuantDense(2, input_quantizer=CoupledStep(3), kernel_quantizer=ScaledSign()),
        ]
    )
    model.build((None, *IMAGE))
    x = images_for(0)
    assert_same_function(outputs_of(model, x), outputs_of(bduo_tf.decouple(model), x), ties=0)


def test_unknown_sizes_and_tensorflow_functions():
    x = keras.Input((None, None, 3))
    y = lq.layers.QuantConv2D(4, 3, padding="same", input_quantizer=CoupledStep(2))(tf.abs(x) + 0.1)
    y = keras.layers.Lambda(lambda x: x + 0.5)(y[..., 1:])
    y = CoupledStep(3)(tf.nn.relu(y) * 2.0)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.GlobalMaxPool2D()(y)))
    images = images_for(0, 4, (6, 9, 3))
    assert_same_function(outputs_of(model, images), outputs_of(bduo_tf.decouple(model), images), ties=0)


def test_activations_of_different_levels_flattened_together():
    x = keras.Input((3, 3, 2))
    y = keras.layers.Concatenate()([CoupledStep(2)(x), x, CoupledStep(3)(x)])
    model = keras.Model(x, keras.layers.Dense(4)(keras.layers.Flatten()(y)))
    images = images_for(0, 16, (3, 3, 2))
    assert_same_function(outputs_of(model, images), outputs_of(bduo_tf.decouple(model), images), ties=0)


def test_other_dimensions():
    x = keras.Input((6, 6, 6, 2))
    y = lq.layers.QuantConv3D(3, 2, input_quantizer=CoupledStep(2), kernel_quantizer=ScaledSign())(x)
    y = keras.layers.MaxPool3D()(CoupledStep(3)(y))
    y = keras.layers.Conv3DTranspose(3, 2, strides=2)(y)
    y = keras.layers.Reshape((64, 3))(y)
    y = lq.layers.QuantConv1D(4, 3, strides=2, padding="causal", groups=1, input_quantizer=CoupledStep(2))(y)
    y = keras.layers.AveragePooling1D()(CoupledStep(2)(y))
    y = keras.layers.Conv1DTranspose(2, 3)(keras.layers.ZeroPadding1D(1)(y))
    y = lq.layers.QuantDense(3, input_quantizer=CoupledStep(4), kernel_quantizer=ScaledSign(True))(y)
    model = keras.Model(x, y)
    images = images_for(0, 8, (6, 6, 6, 2))
    assert_same_function(outputs_of(model, images), outputs_of(bduo_tf.decouple(model), images), ties=0)


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.GaussianNoise(0.5),
        keras.layers.GaussianDropout(0.5),
        keras.layers.AlphaDropout(0.5, noise_shape=(1, 1, 1, 3)),
        keras.layers.Dropout(0.5, noise_shape=(1, 1, 1, 3)),
        keras.layers.SpatialDropout2D(0.5),
        keras.layers.ActivityRegularization(l1=0.1),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_copies_pass_through_layers_that_act_in_training_only(layer):
    x = keras.Input(IMAGE)
    model = keras.Model(x, keras.layers.Conv2D(4, 3)(layer(CoupledStep(2)(x))))
    images, decoupled = images_for(0), bduo_tf.decouple(model)
    assert_same_function(outputs_of(model, images), outputs_of(decoupled, images), ties=0)
    assert np.isfinite(decoupled(images, training=True)).all()


@pytest.mark.parametrize("frozen", ["inner", "nested", "nothing"])
def test_frozen_layers_stay_frozen(frozen):
    inner = keras.Sequential(
        [
            keras.Input((4,)),
            lq.layers.QuantDense(4, input_quantizer=CoupledStep(2), name="inner"),
            keras.layers.Dense(3, name="free"),
        ],
        name="nested",
    )
    x = keras.Input((4,))
    model = keras.Model(x, lq.layers.QuantDense(2, input_quantizer=CoupledStep(2), name="outer")(inner(x)))
    for layer in model._flatten_layers():
        if layer.name == frozen:
            layer.trainable = False

    def kernels(model):
        return {w.name.split("/")[-2] for w in model.trainable_weights if "kernel" in w.name}

    expected = {"inner": {"free", "outer"}, "nested": {"outer"}, "nothing": {"inner", "free", "outer"}}[frozen]
    assert kernels(model) == expected
    assert kernels(bduo_tf.decouple(model)) == expected


def test_trains_afterwards():
    decoupled = bduo_tf.decouple(SHARED_AND_NESTED.model())
    images = SHARED_AND_NESTED.images()
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_mean(tf.square(y)) for y in decoupled(images, training=True)])
    gradients = tape.gradient(loss, decoupled.trainable_variables)
    checked = {"theta": 0, "kernel": 0}
    for variable, gradient in zip(decoupled.trainable_variables, gradients, strict=True):
        assert gradient is not None, variable.name
        part = variable.name.split("/")[-1].split(":")[0]
        if part in checked:
            checked[part] += 1
            assert np.any(gradient), variable.name
    # The residual step has 1 split, the nested one 2, the activation 1, the dense layer 1. Each copy has a gradient.
    assert checked["theta"] == len(splits(decoupled)) == 5
    for split in splits(decoupled):
        by_copy = np.abs(gradients[[v is split.theta for v in decoupled.trainable_variables].index(True)])
        assert (by_copy.sum(axis=0) > 0).all()


def test_fit_changes_thresholds_and_all_copies_of_kernels():
    keras.utils.set_random_seed(0)
    decoupled = bduo_tf.decouple(SHARED_AND_NESTED.model())
    with lq.context.quantized_scope(False):
        before = {v.name: v.numpy() for v in decoupled.trainable_variables}
        decoupled.compile("adam", "mse")
        images = SHARED_AND_NESTED.images(16)
        targets = [images_for(i, 16, tuple(y.shape[1:])) for i, y in enumerate(decoupled.outputs)]
        decoupled.fit(images, targets, batch_size=8, epochs=1, verbose=0)
        after = {v.name: v.numpy() for v in decoupled.trainable_variables}
    for name, old in before.items():
        assert (after[name] != old).any(), name
    kernel = after[quantized(decoupled)[0].kernel.name]
    assert (kernel[:, :, ::3] != kernel[:, :, 1::3]).any(), "the copies were not trained apart"


# Errors.


def around(layer, shape=(8, 8, 4)):
    x = keras.Input(shape)
    return keras.Model(x, layer(x), name="net")


def sign_times_sum(kernel):
    return lq.math.sign(kernel) * tf.reduce_sum(tf.abs(kernel))


def quant(kind, *args, levels=2, name="bad", **kwargs):
    return getattr(lq.layers, kind)(*args, input_quantizer=CoupledStep(levels), name=name, **kwargs)


class Subclass(keras.Model):
    def __init__(self):
        super().__init__(name="net")
        self.dense = quant("QuantDense", 2)

    def call(self, x):
        return self.dense(x)


def after_activation(layer, shape=(8, 8, 4), levels=2):
    x = keras.Input(shape)
    return keras.Model(x, layer(CoupledStep(levels, name="act")(x)), name="net")


def shared_on_levels(first, second):
    x = keras.Input((4,))
    layer = keras.layers.Dense(4, name="bad")
    y = CoupledStep(first, name="act1")(x) if first else x
    z = CoupledStep(second, name="act2")(x) if second else x
    return keras.Model(x, [layer(y), layer(z)])


def shared_nested(first, second):
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name="bad")
    return keras.Model(x, [inner(CoupledStep(first)(x)), inner(CoupledStep(second)(x) if second else x)])


def mixed_groups():
    x = keras.Input((4, 4, 2))
    y = keras.layers.Concatenate()([CoupledStep(2)(x), CoupledStep(3)(x)])
    return keras.Model(x, keras.layers.Conv2D(2, 1, groups=2, name="bad")(y))


def mixed_binary_kernel():
    x = keras.Input((4,))
    y = keras.layers.Concatenate()([CoupledStep(2)(x), x])
    return keras.Model(x, lq.layers.QuantDense(2, kernel_quantizer=ScaledSign(), name="bad")(y))


def with_loss():
    x = keras.Input((4,))
    model = keras.Model(x, quant("QuantDense", 2)(x), name="net")
    model.add_loss(tf.reduce_sum(x))
    return model


class Unrestorable(keras.layers.Layer):
    def __init__(self, table):
        super().__init__(name="bad")
        self.table = table

    def get_config(self):
        return super().get_config()


NOT_WIDENED = "'bad' .* reads the coupled activation of 'act' and cannot be widened"
IN_A_PLACE = "'bad' .* in a place that cannot be taken apart"
NO_KERNEL = "'bad' .* has a coupled activation but no kernel that can be widened"
NO_SCALE = "of layer 'bad' gives neither"
LEVELS = "'bad' is shared and called on activations of different levels"
REFUSED = {
    "subclassed": (Subclass, "'net' is a subclass of keras.Model .Subclass.*functional or the sequential API"),
    "unbuilt sequential": (
        lambda: keras.Sequential([quant("QuantDense", 2)], name="net"),
        "sequential model 'net' has no input shape yet",
    ),
    "binary": (lambda: around(quant("QuantDense", 2, levels=1)), "'net' has nothing to decouple"),
    "float": (lambda: around(keras.layers.Dense(2)), "'net' has nothing to decouple"),
    "kernel without scale": (lambda: around(quant("QuantConv2D", 2, 3, kernel_quantizer=sign_times_sum)), NO_SCALE),
    "kernel without scale, by activation": (
        lambda: after_activation(lq.layers.QuantDense(2, kernel_quantizer=sign_times_sum, name="bad")),
        NO_SCALE,
    ),
    "activation argument": (
        lambda: around(lq.layers.QuantConv2D(2, 3, activation=CoupledStep(2), name="bad")),
        IN_A_PLACE,
    ),
    "TimeDistributed": (
        lambda: around(keras.layers.TimeDistributed(quant("QuantDense", 2, name="inner"), name="bad")),
        IN_A_PLACE,
    ),
    "nested subclass": (
        lambda: around(type("Bad", (Subclass,), {"name": "bad"})(), (4,)),
        IN_A_PLACE,
    ),
    "TimeDistributed reader": (
        lambda: after_activation(keras.layers.TimeDistributed(keras.layers.Dense(2), name="bad")),
        NOT_WIDENED,
    ),
    "Add": (
        lambda: after_activation(lambda x: keras.layers.Add(name="bad")([x, x])),
        NOT_WIDENED,
    ),
    "BatchNormalization": (lambda: after_activation(keras.layers.BatchNormalization(name="bad")), NOT_WIDENED),
    "LayerNormalization": (lambda: after_activation(keras.layers.LayerNormalization(name="bad")), NOT_WIDENED),
    "ReLU": (lambda: after_activation(keras.layers.ReLU(name="bad")), NOT_WIDENED),
    "Reshape": (lambda: after_activation(keras.layers.Reshape((-1,), name="bad")), NOT_WIDENED),
    "Concatenate of rows": (
        lambda: after_activation(lambda x: keras.layers.Concatenate(axis=1, name="bad")([x, x])),
        NOT_WIDENED,
    ),
    "Flatten of unknown size": (
        lambda: after_activation(keras.layers.Flatten(name="bad"), (None, 4, 2)),
        NOT_WIDENED,
    ),
    "TensorFlow function": (lambda: after_activation(lambda x: x + 1.0), "reads the coupled activation of 'act'"),
    "pool of channels": (
        lambda: after_activation(keras.layers.MaxPool2D(data_format="channels_first", name="bad")),
        NOT_WIDENED,
    ),
    "another quantizer": (
        lambda: after_activation(lq.layers.QuantDense(2, input_quantizer="ste_sign", name="bad")),
        NOT_WIDENED,
    ),
    "depthwise reader": (lambda: after_activation(keras.layers.DepthwiseConv2D(3, name="bad")), NOT_WIDENED),
    "depthwise": (lambda: around(quant("QuantDepthwiseConv2D", 3)), NO_KERNEL),
    "separable, without scale": (
        lambda: around(
            lq.layers.QuantSeparableConv2D(
                2, 3, input_quantizer=CoupledStep(2), depthwise_quantizer=sign_times_sum, name="bad"
            )
        ),
        NO_SCALE,
    ),
    "locally connected": (lambda: around(quant("QuantLocallyConnected2D", 2, 3)), NO_KERNEL),
    "channels first": (
        lambda: around(quant("QuantConv2D", 2, 3, padding="same", data_format="channels_first")),
        NO_KERNEL,
    ),
    "output": (
        lambda: after_activation(keras.layers.MaxPool2D()),
        "coupled activation of 'act' reaches an output of the model",
    ),
    "coupled of coupled": (
        lambda: after_activation(quant("QuantDense", 2)),
        "'bad' applies a coupled activation to that of 'act'",
    ),
    "coupled of pooled coupled": (
        lambda: after_activation(lambda x: CoupledStep(3, name="bad")(keras.layers.MaxPool2D()(x))),
        "'bad' applies a coupled activation to that of 'act'",
    ),
    "shared on different levels": (lambda: shared_on_levels(2, 3), LEVELS),
    "shared on coupled and float": (lambda: shared_on_levels(2, None), LEVELS),
    "shared on float and coupled": (lambda: shared_on_levels(None, 2), LEVELS),
    "nested model on different levels": (lambda: shared_nested(2, 3), LEVELS),
    "nested model on coupled and float": (lambda: shared_nested(2, None), LEVELS),
    "mixed groups": (mixed_groups, "the groups of layer 'bad' read activations of different levels"),
    "mixed levels, one scale": (mixed_binary_kernel, "the quantized kernel of layer 'bad' reads activations of differ"),
    "added loss": (with_loss, "'net' has a loss or metric added by add_loss or add_metric"),
    "not restorable": (
        lambda: around(lambda x: quant("QuantDense", 2, name="dense")(Unrestorable([1])(x))),
        "'bad' .Unrestorable. cannot be copied",
    ),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_with_the_name_of_the_layer(make, message):
    model = make()
    with pytest.raises(ValueError, match=f"^decouple: .*{message}"):
        bduo_tf.decouple(model)


@pytest.mark.parametrize(
    "thing", [None, "model.keras", lq.layers.QuantDense(2), CoupledStep], ids=["None", "path", "layer", "class"]
)
def test_what_is_not_a_model_is_refused(thing):
    with pytest.raises(TypeError, match="decouple: expected a Keras model, got"):
        bduo_tf.decouple(thing)


def test_mixed_levels_are_refused_only_where_a_scale_must_weigh_them():
    program = Program((MixedLevels((2, 3), True, Conv(scale="layer")),))
    with pytest.raises(ValueError, match="which one scale cannot weigh"):
        bduo_tf.decouple(program.model())
    bduo_tf.decouple(Program((MixedLevels((2, 3), True, Conv(scale=None)),)).model())
