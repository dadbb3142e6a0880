"""What decoupling keeps beside the weights: the arguments of calls, frozen layers, Larq's metrics and subclasses."""

import numpy as np
import pytest

import bduo_tf
from bduo_tf import CoupledStep, ScaledSign, ThresholdSplit
from bduo_tf.backend import keras, lq, tf
from bduo_tf.deployment import deploy
from tests.bduo_tf.graphs import images_for, norm, outputs_of, randomize


def coupled(filters=4, levels=2, **kwargs):
    options = {"padding": "same", "use_bias": False, "kernel_quantizer": ScaledSign(), **kwargs}
    return lq.layers.QuantConv2D(filters, 3, input_quantizer=CoupledStep(levels), **options)


def base(kind):
    layers = [coupled(), keras.layers.BatchNormalization(momentum=0.5), keras.layers.ReLU()]
    if kind == "sequential":
        return keras.Sequential([keras.Input((8, 8, 3)), *layers], name="base")
    image = x = keras.Input((8, 8, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x, name="base")


@pytest.mark.parametrize("kind", ["functional", "sequential"])
@pytest.mark.parametrize("training", [False, True, None])
def test_a_nested_model_is_called_with_the_arguments_it_was_called_with(kind, training):
    keras.utils.set_random_seed(0)
    inner = base(kind)
    image = keras.Input((8, 8, 3))
    x = inner(image, training=training) if training is not None else inner(image)
    x = norm(coupled(3)(x))
    model = randomize(keras.Model(image, keras.layers.GlobalAveragePooling2D()(x)), 0)
    decoupled, images = bduo_tf.decouple(model), images_for(0)
    # Both are called in training mode: their norms use the same statistics and update them alike.
    np.testing.assert_allclose(decoupled(images, training=True), model(images, training=True), atol=1e-6)
    moved = [(old.numpy(), new.numpy()) for old, new in zip(statistics(model), statistics(decoupled), strict=True)]
    for old, new in moved:
        np.testing.assert_allclose(new, old, atol=1e-5)
    np.testing.assert_allclose(decoupled(images, training=False), model(images, training=False), atol=1e-5)


def statistics(model):
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    return [weight for layer in norms for weight in (layer.moving_mean, layer.moving_variance)]


def test_the_statistics_of_a_frozen_base_stay_where_they_are_in_training():
    keras.utils.set_random_seed(0)
    inner = base("functional")
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(inner(image, training=False))))
    decoupled = bduo_tf.decouple(model)
    before = [weight.numpy() for weight in statistics(decoupled)]
    decoupled.compile("sgd", "mse")
    decoupled.fit(images_for(0), np.zeros((16, 2)), verbose=0)
    for old, new in zip(before, statistics(decoupled), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_input_may_be_named():
    keras.utils.set_random_seed(0)
    image, layer = keras.Input((8, 8, 3)), coupled()
    model = keras.Model(image, base("functional")(inputs=layer(inputs=image)[..., :3], training=False))
    images = images_for(0)
    np.testing.assert_allclose(bduo_tf.decouple(model)(images), model(images), atol=1e-5)


@pytest.mark.parametrize("layer_of_its_own", [False, True])
def test_the_split_of_a_frozen_layer_is_frozen(layer_of_its_own):
    image = keras.Input((8, 8, 3))
    if layer_of_its_own:
        activation, conv = CoupledStep(2, name="frozen"), keras.layers.Conv2D(4, 3)
        x, activation.trainable = conv(activation(image)), False
    else:
        layer = coupled(name="frozen")
        x, layer.trainable = layer(image), False
    model = keras.Model(image, coupled(name="free")(x))
    decoupled = bduo_tf.decouple(model)
    splits = {layer.name: layer.trainable for layer in decoupled.layers if isinstance(layer, ThresholdSplit)}
    assert splits == {"frozen_split": False, "free_split": True}


@pytest.mark.parametrize("nested", [False, True])
def test_a_frozen_model_has_nothing_to_train_afterwards(nested):
    inner = base("functional")
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, coupled()(inner(image))) if nested else inner
    model.trainable = False
    decoupled = bduo_tf.decouple(model)
    assert decoupled.trainable_variables == []
    assert not decoupled.trainable
    model.trainable = True
    assert len(bduo_tf.decouple(model).trainable_variables) > 0


# Bop keeps latent weights at +1 and -1.


@pytest.mark.parametrize("quantizer", [lambda: lq.quantizers.NoOp(precision=1), ScaledSign, lq.quantizers.SteSign])
@pytest.mark.parametrize("activation", [lambda: CoupledStep(2), lambda: lq.quantizers.DoReFa(2)])
def test_a_step_of_bop_without_flips_changes_nothing(quantizer, activation):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    layer = lq.layers.QuantConv2D(4, 3, input_quantizer=activation(), kernel_quantizer=quantizer(), use_bias=False)
    model = keras.Model(image, layer(image))
    with lq.context.quantized_scope(False):
        layer.set_weights([np.sign(layer.get_weights()[0])])
    decoupled, images = bduo_tf.decouple(model), images_for(0)
    before = outputs_of(decoupled, images)
    np.testing.assert_allclose(before, outputs_of(model, images), atol=1e-5)
    optimizer = lq.optimizers.Bop(threshold=1e9, gamma=1e-9)  # gradients of zero, which flip nothing
    kernels = [v for v in decoupled.trainable_variables if lq.optimizers.Bop.is_binary_variable(v)]
    assert len(kernels) == 1
    optimizer.apply_gradients([(tf.ones_like(v), v) for v in kernels])
    np.testing.assert_allclose(outputs_of(decoupled, images), before, atol=1e-6)


def test_larqs_flip_ratio_goes_on_being_counted():
    with lq.context.metrics_scope(["flip_ratio"]):
        image = keras.Input((8, 8, 3))
        conv = coupled(kernel_quantizer="ste_sign", name="conv")
        model = keras.Model(image, keras.layers.Flatten()(conv(image)))
    decoupled, images = bduo_tf.decouple(model), images_for(0)
    np.testing.assert_allclose(outputs_of(decoupled, images), outputs_of(model, images), atol=1e-5)
    decoupled.compile("sgd", "mse")
    history = decoupled.fit(images, np.zeros((16, 256)), verbose=0).history
    assert any(name.startswith("flip_ratio") for name in history)
    assert deploy(decoupled).readers[0].name == "conv"


@pytest.fixture
def policy():
    before = keras.mixed_precision.global_policy()
    yield keras.mixed_precision.set_global_policy
    keras.mixed_precision.set_global_policy(before)


@pytest.mark.parametrize("half", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("layer_of_its_own", [False, True])
def test_new_layers_compute_as_the_layers_they_stand_for(policy, half, layer_of_its_own):
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(CoupledStep(2)(image)) if layer_of_its_own else coupled()(image)
    model, images = keras.Model(image, x), images_for(0)
    baseline = keras.Model(image, coupled(levels=1)(image))
    expected = outputs_of(baseline, images)
    policy(half)
    decoupled = bduo_tf.decouple(model)
    assert {layer.compute_dtype for layer in decoupled._flatten_layers(include_self=False)} == {"float32"}
    np.testing.assert_allclose(outputs_of(decoupled, images), outputs_of(model, images), atol=1e-5)
    np.testing.assert_allclose(outputs_of(bduo_tf.to_lce_graph(baseline), images), expected, atol=1e-5)
    assert keras.mixed_precision.global_policy().name == half


@pytest.mark.parametrize("half", ["mixed_float16", "mixed_bfloat16"])
def test_a_network_of_half_precision_is_deployed_in_float32(policy, half):
    policy(half)
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = norm(coupled(levels=1)(keras.layers.BatchNormalization()(image)))
    x = keras.layers.Dense(3, dtype="float32")(keras.layers.GlobalAveragePooling2D()(coupled(levels=1)(x)))
    model, images = keras.Model(image, x), images_for(0)
    deployment = deploy(model)
    for graph in (deployment.binary, deployment.graph):
        assert {layer.compute_dtype for layer in graph._flatten_layers(include_self=False)} == {"float32"}
    np.testing.assert_allclose(outputs_of(deployment.graph, images), outputs_of(deployment.binary, images), atol=1e-5)
    np.testing.assert_allclose(outputs_of(deployment.graph, images), outputs_of(model, images), atol=0.3)


# A subclass that computes something else is not its base class.


class Standardized(keras.layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel - tf.reduce_mean(kernel, [0, 1, 2], keepdims=True))


class MeanOfMax(keras.layers.MaxPool2D):
    def call(self, inputs):
        return 0.5 * super().call(inputs)


class Halved(lq.layers.QuantConv2D):
    def call(self, inputs):
        return 0.5 * super().call(inputs)


class Named(lq.layers.QuantConv2D):
    """A subclass that defines a constructor and nothing else, so that it computes what its base class does."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"padding": "same", **kwargs})


class Shifted(keras.layers.BatchNormalization):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training) + 1.0


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([CoupledStep(2), Standardized(3, 3, name="bad")], "bad"),
        ([CoupledStep(2), MeanOfMax(name="bad"), keras.layers.Conv2D(3, 3)], "bad"),
        ([Halved(3, 3, input_quantizer=CoupledStep(2), kernel_quantizer=ScaledSign(), name="bad")], "bad"),
    ],
    ids=["convolution_op", "pool", "quantized convolution"],
)
def test_a_subclass_that_computes_something_else_is_refused(layers, name):
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
    with pytest.raises(ValueError, match=f"decouple: layer '{name}'"):
        bduo_tf.decouple(model)


def test_subclasses_in_a_deployment_graph():
    layer = Halved(3, 3, input_quantizer=CoupledStep(1), kernel_quantizer=ScaledSign(), name="bad")
    with pytest.raises(ValueError, match="to_lce_graph: layer 'bad' is a Halved"):
        bduo_tf.to_lce_graph(keras.Sequential([keras.Input((8, 8, 3)), layer]))
    # The layers between the activations stay what they are.
    model = keras.Sequential([keras.Input((8, 8, 3)), Shifted(), coupled(levels=1), Shifted(), coupled(levels=1)])
    images = images_for(0)
    np.testing.assert_allclose(outputs_of(bduo_tf.to_lce_graph(model), images), outputs_of(model, images), atol=1e-4)


def test_a_subclass_with_a_constructor_of_its_own_is_its_base_class():
    layer = Named(3, 3, input_quantizer=CoupledStep(2), kernel_quantizer=ScaledSign())
    model, images = keras.Sequential([keras.Input((8, 8, 3)), layer]), images_for(0)
    np.testing.assert_allclose(outputs_of(bduo_tf.decouple(model), images), outputs_of(model, images), atol=1e-5)


def test_dropout_and_reshape_that_name_their_channels():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 3))(CoupledStep(2)(image))
    x = keras.layers.Activation("linear")(keras.layers.Reshape((64, 3))(x))
    model, images = keras.Model(image, keras.layers.Dense(2)(x)), images_for(0)
    decoupled = bduo_tf.decouple(model)
    np.testing.assert_allclose(outputs_of(decoupled, images), outputs_of(model, images), atol=1e-5)
    decoupled.compile("sgd", "mse")
    decoupled.fit(images, np.zeros((16, 64, 2)), verbose=0)


def test_a_lambda_is_copied():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda t, k: t * k, arguments={"k": 2.0}, name="twice")(coupled()(image))
    model, images = keras.Model(image, coupled()(x)), images_for(0)
    binary = bduo_tf.decouple(model)
    np.testing.assert_allclose(outputs_of(binary, images), outputs_of(model, images), atol=1e-5)
    np.testing.assert_allclose(outputs_of(bduo_tf.to_lce_graph(binary), images), outputs_of(model, images), atol=1e-5)
