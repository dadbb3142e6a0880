"""CoupledStep and ScaledSign: tables of values and gradients, and what Larq and Keras ask of quantizers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bduo_tf import CoupledStep, ScaledSign, decouple
from bduo_tf.backend import keras, lq, tf
from bduo_tf.quantizers import GRADIENTS, Step, coupled_step, scaled_sign, step_of
from tests.bduo_tf.graphs import Conv, Program

F = np.float32


def above(x):
    return np.nextafter(F(x), F(np.inf))


def below(x):
    return np.nextafter(F(x), F(-np.inf))


def gradient_of(function, x):
    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


THRESHOLDS: dict[int, list[tuple[float, ...]]] = {
    1: [(0.5, 0, 1)],
    2: [(0.25, 0, 1 / 2), (0.75, 1 / 2, 1)],
    3: [(1 / 6, 0, 1 / 3), (0.5, 1 / 3, 2 / 3), (5 / 6, 2 / 3, 1)],
    4: [(0.125, 0, 0.25), (0.375, 0.25, 0.5), (0.625, 0.5, 0.75), (0.875, 0.75, 1)],
}


@pytest.mark.parametrize(
    ("levels", "threshold", "off", "on"),
    [(n, *row) for n, rows in THRESHOLDS.items() for row in rows],
)
def test_step_at_a_threshold_and_its_neighbours(levels, threshold, off, on):
    x = [below(threshold), F(threshold), above(threshold)]
    np.testing.assert_array_equal(CoupledStep(levels)(tf.constant(x)), np.array([off, on, on], F))


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_step_far_from_the_thresholds(levels):
    x = tf.constant([-np.inf, -1e30, -1, -0.0, 0, 1, 1e30, np.inf], tf.float32)
    np.testing.assert_array_equal(CoupledStep(levels)(x), [0, 0, 0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_step_of_nan_is_off(levels):
    nan = tf.constant([np.nan], tf.float32)
    np.testing.assert_array_equal(CoupledStep(levels)(nan), [0])
    np.testing.assert_array_equal(gradient_of(CoupledStep(levels), [np.nan]), [0])


@given(st.integers(1, 9), st.lists(st.floats(-2, 3, width=32), min_size=1, max_size=20))
def test_step_counts_the_thresholds_reached(levels, x):
    thresholds = ((2 * np.arange(1, levels + 1) - 1) / (2 * levels)).astype(F)
    expected = (np.array(x, F)[:, None] >= thresholds).sum(axis=1).astype(F) / F(levels)
    np.testing.assert_array_equal(coupled_step(tf.constant(x, tf.float32), levels), expected)


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (-np.inf, 0),
        (-1, 0),
        # Gradients are computed from the distance to a threshold, where floats are 2**-24 apart.
        (-(2.0**-23), 0),
        (0, 1),
        (1 / 3, 1),
        (0.5, 1),
        (0.99, 1),
        (1, 1),
        (above(1), 0),
        (2, 0),
        (np.inf, 0),
    ],
)
def test_straight_through_gradient(levels, x, expected):
    assert gradient_of(CoupledStep(levels), [x]) == [expected]


def test_gradient_is_that_of_the_output_times_the_mask():
    x = tf.constant([-0.5, 0.1, 0.6, 1.5])
    np.testing.assert_array_equal(gradient_of(lambda x: CoupledStep(2)(x) * [2.0, 3.0, -4.0, 5.0], x), [0, 3, -4, 0])


def relu1(u):
    return 1.0 * (np.abs(u) <= 0.5)


def steep(u):
    return 2.0 * (np.abs(u) <= 0.25)


def approx_sign(u):
    return np.where(np.abs(u) < 0.5, 2 - 4 * np.abs(u), 0)


def swish_sign(u, beta=5.0):
    x = 2 * u
    return beta * (2 - beta * x * np.tanh(beta * x / 2)) / (1 + np.cosh(beta * x))


WRITTEN_OUT = {"relu1": relu1, "steep": steep, "approx_sign": approx_sign, "swish_sign": swish_sign}


def test_every_gradient_is_written_out_here():
    assert WRITTEN_OUT.keys() == GRADIENTS.keys()


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize("gradient", WRITTEN_OUT)
def test_gradient_is_that_of_the_nearest_threshold(gradient, levels):
    # These points are not on the grid on which the gradients jump.
    x = np.linspace(-1.5, 2.5, 1001) + 1e-4
    thresholds = (2 * np.arange(1, levels + 1) - 1) / (2 * levels)
    distance = x[:, None] - thresholds
    u = levels * distance[np.arange(len(x)), np.abs(distance).argmin(axis=1)]
    expected = WRITTEN_OUT[gradient](u)
    np.testing.assert_allclose(gradient_of(CoupledStep(levels, gradient), x), expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("gradient", "x", "expected"),
    [
        ("steep", [0.25, 0.25 - 2**-24, 0.5, 0.75, above(0.75)], [2, 0, 2, 2, 0]),
        ("approx_sign", [0, 0.25, 0.5, 0.75, 1, 1.5], [0, 1, 2, 1, 0, 0]),
        ("swish_sign", [0.5, -np.inf, np.inf, -1e30, 1e30], [5, 0, 0, 0, 0]),
    ],
)
def test_gradient_of_one_level_at_chosen_points(gradient, x, expected):
    np.testing.assert_allclose(gradient_of(CoupledStep(1, gradient), x), expected, atol=1e-12)


# SwishSign is cut off midway between thresholds; the tail that is left out holds -0.027 of a step's mass.
CUT = (2 / (1 + np.exp(-5.0)) * (1 + 5 * (1 - 1 / (1 + np.exp(-5.0)))) - 1) - 1


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
@pytest.mark.parametrize(("gradient", "excess"), [("relu1", 0), ("steep", 0), ("approx_sign", 0), ("swish_sign", CUT)])
def test_gradient_integrates_to_the_height_of_the_step(gradient, excess, levels):
    x, dx = np.linspace(-6, 7, 1_300_001, retstep=True)
    mass = gradient_of(CoupledStep(levels, gradient), x).astype(np.float64).sum() * dx
    assert mass == pytest.approx(1 + excess * (levels - 1) / levels, abs=1e-4)


@pytest.mark.parametrize(("levels", "precision"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4)])
def test_precision_is_the_bits_of_the_levels(levels, precision):
    assert CoupledStep(levels).precision == precision


@pytest.mark.parametrize("levels", [0, -1, 1.5, True, float("nan"), "2"], ids=repr)
def test_bad_levels_are_refused(levels):
    with pytest.raises(ValueError, match=r"levels must be a positive integer|NaN"):
        CoupledStep(levels)


def test_unknown_gradient_is_refused_and_lists_the_known():
    with pytest.raises(ValueError, match="unknown gradient 'reul1'; known: relu1, steep, approx_sign, swish_sign"):
        CoupledStep(2, "reul1")


@pytest.mark.parametrize(
    "quantizer",
    [CoupledStep(), CoupledStep(1, name="a"), CoupledStep(3, "steep"), ScaledSign(), ScaledSign(per_channel=True)],
    ids=["default step", "named step", "steep step", "sign", "sign per channel"],
)
def test_config_round_trip(quantizer):
    assert type(quantizer).from_config(quantizer.get_config()).get_config() == quantizer.get_config()
    restored = lq.quantizers.deserialize(lq.quantizers.serialize(quantizer))
    assert type(restored) is type(quantizer)
    assert restored.get_config() == quantizer.get_config()


@pytest.mark.parametrize(
    ("alias", "kind", "config"),
    [("coupled_step", CoupledStep, {"levels": 2}), ("scaled_sign", ScaledSign, {"per_channel": False})],
)
def test_alias(alias, kind, config):
    quantizer = lq.quantizers.get(alias)
    assert type(quantizer) is kind
    assert config.items() <= quantizer.get_config().items()


X = np.array([[-1, 0.2], [0.25, 0.74], [0.75, 3]], F)
STEPPED = np.array([[0, 0], [0.5, 0.5], [1, 1]], F)


@pytest.mark.parametrize(
    "layer",
    [
        CoupledStep(2),
        keras.layers.Activation(CoupledStep(2)),
        lq.layers.QuantDense(2, input_quantizer=CoupledStep(2), kernel_initializer="identity", use_bias=False),
        lq.layers.QuantDense(2, input_quantizer="coupled_step", kernel_initializer="identity", use_bias=False),
    ],
    ids=["layer", "Activation", "input_quantizer", "input_quantizer by alias"],
)
def test_step_as_part_of_a_network(layer):
    np.testing.assert_array_equal(layer(tf.constant(X)), STEPPED)


@pytest.mark.parametrize(
    "quantizer",
    [CoupledStep(1), CoupledStep(3, "swish_sign"), ScaledSign(), ScaledSign(True)],
    ids=["step", "swish", "sign", "sign per channel"],
)
def test_eager_and_graph_agree(quantizer):
    x = np.random.default_rng(0).normal(0.5, 0.7, (50, 3)).astype(F)
    graph = tf.function(quantizer)
    np.testing.assert_array_equal(quantizer(tf.constant(x)), graph(tf.constant(x)))
    np.testing.assert_allclose(gradient_of(quantizer, x), gradient_of(graph, x), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("levels", [1, 2, 4])
def test_step_keeps_the_type(levels, dtype):
    x = tf.constant([0, 0.5, 0.75, 1, 2], dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = coupled_step(x, levels)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(tf.cast(y, "float32"), coupled_step(tf.cast(x, "float32"), levels))
    np.testing.assert_array_equal(tf.cast(tape.gradient(y, x), "float32"), [1, 1, 1, 1, 0])


W = np.array([[-3, 1], [0, -1], [2, 0], [-1, 4]], F)


@pytest.mark.parametrize(
    ("per_channel", "expected"),
    [
        (False, [[-1.5, 1.5], [1.5, -1.5], [1.5, 1.5], [-1.5, 1.5]]),
        (True, [[-1.5, 1.5], [1.5, -1.5], [1.5, 1.5], [-1.5, 1.5]]),
    ],
    ids=["per layer", "per channel"],
)
def test_sign_with_equal_scales(per_channel, expected):
    np.testing.assert_array_equal(ScaledSign(per_channel)(tf.constant(W)), expected)


@pytest.mark.parametrize(
    ("per_channel", "expected"),
    [
        (False, [[[-2, 2], [2, -2]], [[2, 2], [-2, 2]]]),
        (True, [[[-1, 3], [1, -3]], [[1, 3], [-1, 3]]]),
    ],
    ids=["per layer", "per channel"],
)
def test_sign_scales(per_channel, expected):
    kernel = tf.constant([[[-2.0, 6], [0, -6]], [[1, 0], [-1, 0]]])
    np.testing.assert_array_equal(ScaledSign(per_channel)(kernel), expected)


def test_sign_of_zeros():
    np.testing.assert_array_equal(scaled_sign(tf.constant([[0.0], [-0.0], [3.0]])), [[1], [1], [1]])
    np.testing.assert_array_equal(ScaledSign()(tf.zeros((2, 2))), np.zeros((2, 2)))


@pytest.mark.parametrize("per_channel", [False, True])
def test_sign_gradient_passes_straight_through(per_channel):
    factor = tf.constant([[1.0, -2], [3, 0], [5, 6], [7, 8]])
    np.testing.assert_array_equal(gradient_of(lambda w: ScaledSign(per_channel)(w) * factor, 100 * W), factor)


@pytest.mark.parametrize("per_channel", [False, True])
@given(n=st.integers(1, 5), seed=st.integers(0, 1000))
def test_sign_passes_a_scale_on(per_channel, n, seed):
    kernel = np.random.default_rng(seed).normal(size=(3, 3, 2, 4)).astype(F)
    q = ScaledSign(per_channel)
    np.testing.assert_allclose(q(tf.constant(kernel / F(n))), q(tf.constant(kernel)) / n, rtol=1e-6)


MACS = 8 * 8 * 9 * 4 * 4  # the multiply-adds of a 3x3 convolution from 4 channels to 4 at 8x8
FLOAT_MACS = 8 * 8 * 9 * 3 * 4 + 4 * 4


def macs_by_precision(model):
    macs = {}
    for layer in lq.models.ModelProfile(model).layer_profiles:
        for profile in layer.op_profiles:
            macs[profile.precision] = macs.get(profile.precision, 0) + profile.n
    return macs


@pytest.mark.parametrize(("levels", "precision"), [(1, 1), (2, 2), (3, 2), (4, 3)])
def test_larq_counts_macs_by_the_precision_of_the_levels(levels, precision):
    model = Program((Conv(levels=levels),), heads=("float",)).model()
    assert macs_by_precision(model) == {precision: MACS, 32: FLOAT_MACS}


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_larq_counts_one_bit_macs_of_a_decoupled_network(levels, capsys):
    model = decouple(Program((Conv(levels=levels),), heads=("float",)).model())
    assert macs_by_precision(model) == {1: levels * MACS, 32: FLOAT_MACS}
    lq.models.summary(model)
    table = capsys.readouterr().out
    assert "1-bit MACs" in table
    assert f" {levels * MACS} " in table


@pytest.mark.parametrize(
    ("quantizer", "step"),
    [
        (CoupledStep(3, "steep"), Step(3, gradient="steep")),
        (lq.quantizers.DoReFa(1), Step(1, strict=True)),
        (lq.quantizers.DoReFa(2), Step(3)),
        (lq.quantizers.DoReFa(3), Step(7)),
        (lq.quantizers.SteHeaviside(), Step(1, threshold=0.0, strict=True)),
        (lq.quantizers.DoReFa(2, mode="weights"), None),
        (lq.quantizers.SteSign(), None),
        (None, None),
    ],
    ids=["coupled", "DoReFa 1", "DoReFa 2", "DoReFa 3", "Heaviside", "DoReFa weights", "sign", "none"],
)
def test_which_quantizers_are_steps(quantizer, step):
    assert step_of(quantizer) == step


@pytest.mark.parametrize(
    "quantizer", [lq.quantizers.DoReFa(1), lq.quantizers.DoReFa(2), lq.quantizers.SteHeaviside()], ids=["1", "2", "0"]
)
def test_larqs_steps_are_what_step_of_says(quantizer):
    # The shift keeps these numbers off the thresholds; a number on a threshold is added below.
    x = np.linspace(-0.5, 1.5, 1000, dtype=np.float32) + np.float32(1e-4)
    step = step_of(quantizer)
    if step.levels == 1:
        x = np.append(x, np.float32([step.threshold, step.threshold + 1e-6]))
        expected = x > step.threshold if step.strict else x >= step.threshold
    else:
        expected = CoupledStep(step.levels)(x)
    np.testing.assert_allclose(quantizer(x), np.float32(expected), rtol=1e-6)
