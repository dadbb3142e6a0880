"""The layers of decoupling and deployment compute what numpy computes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bduo_tf import CoupledStep, ThresholdSplit
from bduo_tf.backend import keras, tf
from bduo_tf.deployment._layers import ChannelAffine, ChannelGather, ConstantPad, ThresholdCompare, ThresholdStep
from tests.bduo_tf.graphs import images_for

LAYERS = [ThresholdSplit, ChannelAffine, ThresholdCompare, ThresholdStep]


@pytest.mark.parametrize(
    ("levels", "theta"),
    [(1, [0]), (2, [-0.25, 0.25]), (3, [-1 / 3, 0, 1 / 3]), (4, [-0.375, -0.125, 0.125, 0.375])],
)
def test_split_starts_at_the_thresholds(levels, theta):
    split = ThresholdSplit(levels)
    split.build((None, 5, 2))
    np.testing.assert_array_equal(split.theta, np.array([theta, theta], np.float32))


def test_split_puts_the_copies_of_a_channel_side_by_side():
    split = ThresholdSplit(2)
    split.build((None, 2))
    split.set_weights([np.array([[1, 2], [10, 20]], np.float32)])
    np.testing.assert_array_equal(split(tf.constant([[100.0, 200.0]])), [[99, 98, 190, 180]])


def test_copies_lie_side_by_side_after_flatten_too():
    x = tf.constant(images_for(0, 2, (3, 2, 4)))
    split = ThresholdSplit(3)
    flat = keras.layers.Flatten()(split(x)).numpy()
    expected = np.repeat(x.numpy().reshape(2, -1), 3, axis=-1) - np.tile([-1 / 3, 0, 1 / 3], 24)
    np.testing.assert_allclose(flat, expected, atol=1e-6)


def around_thresholds(levels: int) -> list[float]:
    """Each threshold, and numbers next to it whose distance from it is greater than the rounding of a subtraction."""
    thresholds = (2 * np.arange(1, levels + 1) - 1) / (2 * levels)
    return [t + d for t in thresholds for d in (-(2**-22), 0, 2**-22)]


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_split_takes_a_coupled_step_apart_exactly_at_its_thresholds(levels):
    # 1/3 is no float, so that three levels are left to the next test.
    x = tf.constant([[v] for v in around_thresholds(levels)], tf.float32)
    copies = CoupledStep(1)(ThresholdSplit(levels)(x))
    np.testing.assert_array_equal(tf.reduce_mean(copies, axis=-1), CoupledStep(levels)(x)[:, 0])


@given(st.integers(1, 6), st.lists(st.floats(-1, 2, width=32), min_size=6, max_size=6))
def test_mean_of_the_steps_of_the_copies_is_the_coupled_step(levels, values):
    x = np.array(values, np.float32).reshape(3, 2)
    distance = np.abs(x[..., None] * 2 * levels - (2 * np.arange(1, levels + 1) - 1)).min(axis=-1)
    copies = CoupledStep(1)(ThresholdSplit(levels)(tf.constant(x))).numpy()
    mean = copies.reshape(3, 2, levels).mean(axis=-1)
    # Still nearer to a threshold x - theta is rounded. On a threshold it is exact if the threshold is a float.
    away = (distance > 1e-5) | ((distance == 0) & (levels in (1, 2, 4)))
    np.testing.assert_allclose(mean[away], CoupledStep(levels)(tf.constant(x)).numpy()[away], atol=1e-6)


def test_split_trains_the_thresholds_and_its_input():
    split = ThresholdSplit(2)
    x = tf.constant([[0.5, 0.5], [0.6, 3.0]])
    factor = tf.constant([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = CoupledStep(1)(split(x)) * factor
    dx, dtheta = tape.gradient(y, [x, split.theta])
    # In the second channel of the second image both copies are above 1, where the gradient is 0.
    np.testing.assert_array_equal(dx, [[3, 7], [11, 0]])
    np.testing.assert_array_equal(dtheta, [[-6, -8], [-3, -4]])


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "XLA"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_split_in_training_is_the_same_function(levels, dtype, compiled):
    split = ThresholdSplit(levels, dtype=dtype)
    special = [np.nan, np.inf, -np.inf, -0.0, 0.25, 0.75]
    x = tf.cast([special, [*range(-3, 3)]], dtype)
    split(x)  # the call builds the layer

    @tf.function(jit_compile=compiled)
    def both(x, weight):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = split(x, training=True)
        return y, *tape.gradient(y, [x, split.theta], weight)

    weight = tf.cast(tf.reshape(tf.range(12 * levels), (2, -1)), dtype)
    y, dx, dtheta = (tf.cast(one, tf.float64).numpy() for one in both(x, weight))
    np.testing.assert_array_equal(y, tf.cast(split(x), tf.float64))
    theta = tf.reshape(tf.cast(split.theta, tf.float64), [-1])
    shifted = np.repeat(tf.cast(x, tf.float64), levels, axis=-1) - theta
    np.testing.assert_allclose(y, shifted, atol={"float16": 2e-3, "bfloat16": 2e-2}.get(dtype, 1e-6))
    weight = np.arange(12 * levels).reshape(2, 6, levels)
    np.testing.assert_array_equal(dx, weight.sum(axis=-1))
    np.testing.assert_array_equal(dtheta, -weight.sum(axis=0))


def test_split_has_a_second_derivative():
    split = ThresholdSplit(2)
    x = tf.constant([[1.0, 2.0]])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(split(x, training=True) ** 3)
        dx = tape.gradient(y, x)
    np.testing.assert_allclose(outer.gradient(dx, x), [[12, 24]], rtol=1e-6)


@pytest.mark.parametrize("levels", [1, 3])
def test_affine(levels):
    rng = np.random.default_rng(0)
    x = images_for(0, 2, (3, 3, 4))
    scale, offset = rng.normal(size=(2, 4, levels)).astype(np.float32)
    layer = ChannelAffine(levels)
    y = layer(tf.constant(x))
    np.testing.assert_array_equal(y, np.repeat(x, levels, axis=-1))
    layer.set_weights([scale, offset])
    expected = (x[..., None] * scale + offset).reshape(2, 3, 3, -1)
    np.testing.assert_allclose(layer(tf.constant(x)), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("oriented", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
def test_compare_puts_the_channels_of_a_copy_together(levels, oriented):
    rng = np.random.default_rng(0)
    x = images_for(0, 2, (3, 3, 4))
    tau = rng.normal(size=(levels, 4)).astype(np.float32)
    orientation = np.array([1, -1, -1, 1], np.float32)
    layer = ThresholdCompare(levels, oriented=oriented)
    layer.build(x.shape)
    layer.set_weights([tau, orientation] if oriented else [tau])
    turned = x * orientation if oriented else x
    expected = np.concatenate([tau[k] - turned for k in range(levels)], axis=-1)
    np.testing.assert_allclose(layer(tf.constant(x)), expected, rtol=1e-6, atol=1e-7)


def test_rising_compare_is_negative_where_the_activation_is_off():
    x = images_for(0, 2, (3, 4))
    falling, rising = ThresholdCompare(2), ThresholdCompare(2, rising=True)
    for layer in (falling, rising):
        layer.build(x.shape)
        layer.set_weights([np.array([[0.5] * 4, [-0.5] * 4], np.float32)])
    np.testing.assert_array_equal(rising(x), -falling(x))


@pytest.mark.parametrize("oriented", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
def test_step_is_on_above_its_threshold_and_puts_copies_side_by_side(levels, oriented):
    rng = np.random.default_rng(0)
    x = images_for(0, 2, (3, 3, 4))
    tau = rng.normal(size=(4, levels)).astype(np.float32)
    x[0, 0, 0] = tau[:, 0]  # equal to the threshold, not above it
    orientation = np.array([1, -1, -1, 1], np.float32)
    layer = ThresholdStep(levels, oriented=oriented)
    layer.build(x.shape)
    layer.set_weights([tau.T, orientation] if oriented else [tau.T])
    turned = x * orientation if oriented else x
    np.testing.assert_array_equal(layer(tf.constant(x)), (turned[..., None] > tau).reshape(2, 3, 3, -1))


@pytest.mark.parametrize("channels", [[0, 1, 2], [3, 1], [5, 5, 0], list(range(40))[::-1], [7]], ids=len)
def test_gather_takes_channels_in_any_order(channels):
    x = images_for(0, 2, (3, 40))
    np.testing.assert_array_equal(ChannelGather(channels)(tf.constant(x)), x[..., channels])
    assert tuple(ChannelGather(channels).compute_output_shape((None, 3, 40))) == (None, 3, len(channels))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_pad_puts_a_value_around(value):
    x = images_for(0, 2, (3, 4))
    layer = ConstantPad([(1, 2), (0, 1)], value)
    np.testing.assert_array_equal(layer(tf.constant(x)), np.pad(x, [(0, 0), (1, 2), (0, 1)], constant_values=value))
    assert tuple(layer.compute_output_shape((None, None, 4))) == (None, None, 5)


@pytest.mark.parametrize(
    ("layer", "trainable", "fixed"),
    [
        (ThresholdSplit(2), ["theta"], []),
        (ChannelAffine(2), [], ["scale", "offset"]),
        (ThresholdCompare(2), [], ["tau"]),
        (ThresholdCompare(2, oriented=True), [], ["tau", "orientation"]),
        (ThresholdStep(2, oriented=True), [], ["tau", "orientation"]),
    ],
    ids=["split", "affine", "compare", "oriented compare", "step"],
)
def test_which_weights_train(layer, trainable, fixed):
    layer.build((None, 4, 4, 3))
    assert [w.name.split(":")[0] for w in layer.trainable_weights] == trainable
    assert [w.name.split(":")[0] for w in layer.non_trainable_weights] == fixed


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("shape", [(None, 3), (None, None, None, 3), (None, 4, None, 3), (2, 4, 4, 3)], ids=str)
def test_shapes_of_which_parts_are_unknown(kind, shape):
    layer = kind(2, name="the_layer")
    x = keras.Input(batch_shape=shape)
    y = layer(x)
    assert tuple(y.shape) == (*shape[:-1], 6)
    assert tuple(layer.compute_output_shape(tf.TensorShape(shape))) == (*shape[:-1], 6)
    known = tf.constant(images_for(0, 2, tuple(d or 5 for d in shape[1:])))
    np.testing.assert_array_equal(keras.Model(x, y)(known), layer(known))


@pytest.mark.parametrize("kind", LAYERS)
def test_unknown_channels_are_refused_by_name(kind):
    with pytest.raises(ValueError, match="the_layer: the number of channels must be known"):
        kind(2, name="the_layer")(keras.Input((4, 4, None)))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("levels", [0, -2, 1.5, True], ids=repr)
def test_bad_levels_are_refused(kind, levels):
    with pytest.raises(ValueError, match=f"{kind.__name__}: levels must be a positive integer, not {levels}"):
        kind(levels)


@pytest.mark.parametrize(
    ("layer", "own"),
    [
        (ThresholdSplit(3, name="a"), {"levels": 3}),
        (ChannelAffine(2), {"levels": 2}),
        (ThresholdCompare(4, oriented=True), {"levels": 4, "oriented": True, "rising": False}),
        (ThresholdCompare(rising=True), {"levels": 1, "rising": True}),
        (ThresholdStep(2, oriented=True), {"levels": 2, "oriented": True}),
        (ChannelGather([2, 0]), {"channels": [2, 0]}),
        (ConstantPad([(1, 0), (0, 2)], 1.0), {"margins": [[1, 0], [0, 2]], "value": 1.0}),
    ],
    ids=["split", "affine", "compare", "rising compare", "step", "gather", "pad"],
)
def test_config_round_trip(layer, own):
    assert own.items() <= layer.get_config().items()
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_split_under_mixed_precision_keeps_float32_thresholds():
    split = ThresholdSplit(2, dtype=keras.mixed_precision.Policy("mixed_float16"))
    y = split(tf.constant([[1.0]]))
    assert (y.dtype, split.theta.dtype) == (tf.float16, tf.float32)
    np.testing.assert_array_equal(y, [[1.25, 0.75]])
