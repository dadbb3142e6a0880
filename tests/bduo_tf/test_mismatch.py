"""The mismatch estimator against gradients worked out by hand, and against a plain loop over the coordinates."""

import numpy as np
import pytest
from scipy.stats import norm as gaussian

from bduo_tf import CoupledStep, ScaledSign, mismatch
from bduo_tf.backend import keras, lq, tf
from bduo_tf.mismatch import _changes
from bduo_tf.mismatch._cosine import of_coordinates, of_directions
from tests.bduo_tf.graphs import Conv, Nested, Program, Residual, Shared, images_for, randomize


def mean_loss(model, x, y):
    return np.mean(np.square(model(x, training=False) - y).mean(-1, dtype=np.float64))


def plain_loop(model, x, y, variable, eps, coordinates):
    """Assigns the perturbed variable and runs the whole model, twice for each coordinate; the estimator must agree."""
    before, gradient = variable.numpy(), []
    with lq.context.quantized_scope(False):
        before = variable.numpy()
    for c in coordinates:
        losses, values = [], []
        for sign in (1, -1):
            changed = before.copy()
            changed.flat[c] += np.float32(sign * eps)
            values.append(np.float64(changed.flat[c]))
            variable.assign(changed)
            losses.append(np.square(model(x, training=False).numpy() - y).mean(-1))
        gradient.append(np.mean(losses[0].astype(np.float64) - losses[1]) / (values[0] - values[1]))
    variable.assign(before)
    return np.array(gradient)


def dense_net(levels=2, kernel_quantizer=None, bias=True):
    keras.utils.set_random_seed(0)
    options = {"kernel_quantizer": kernel_quantizer, "use_bias": bias}
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8),
            CoupledStep(levels),
            lq.layers.QuantDense(7, **options),
            keras.layers.BatchNormalization(beta_initializer=keras.initializers.Constant(0.5)),
            keras.layers.Dropout(0.5),
            lq.layers.QuantDense(5, input_quantizer=CoupledStep(levels), **options),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )


def conv_net():
    keras.utils.set_random_seed(0)
    image = x = keras.Input((8, 8, 3))
    for filters, options in ((4, {}), (5, {"strides": 2}), (3, {"dilation_rate": 2, "padding": "same"})):
        step = CoupledStep(2) if filters != 4 else None
        options = {"padding": "valid", **options}
        x = lq.layers.QuantConv2D(filters, 3 if filters != 3 else 2, input_quantizer=step, **options)(x)
        if filters == 4:
            x = keras.layers.MaxPool2D(2, strides=1)(x)
        x = keras.layers.BatchNormalization(momentum=0.0)(x)
    x = lq.layers.QuantConv2D(6, tuple(x.shape[1:3]), input_quantizer=CoupledStep(1), activation="relu")(x)
    return randomize(keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(x))), 3)


MODELS = {
    "dense": dense_net,
    "conv": conv_net,
    "sign": lambda: dense_net(1, "ste_sign"),
    "scaled sign": lambda: dense_net(2, ScaledSign()),
    "scaled sign by channel": lambda: dense_net(3, ScaledSign(per_channel=True)),
    "residual": lambda: Program((Residual(Conv(scale=None)),)).model(),
    "shared": lambda: Program((Shared(Conv(scale=None), 2),)).model(),
    "nested": lambda: Program((Nested(Conv(scale=None), Conv(), False, None, True),)).model(),
    "nested once": lambda: Program((Nested(Conv(scale=None), Conv(), True, None, False),), ("float",)).model(),
}


def data_for(model, samples=24):
    x = images_for(5, samples, tuple(model.input_shape[1:]))
    y = np.random.default_rng(6).normal(size=(samples, model.output_shape[-1])).astype(np.float32)
    return x, y


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_agrees_with_the_plain_loop(make):
    model = make()
    x, y = data_for(model)
    weights = model.get_weights()
    variables = model.trainable_variables
    for variable in variables[:: len(variables) // 5 + 1]:
        size = int(np.prod(variable.shape))
        chosen = np.random.default_rng(size).choice(size, min(3, size), replace=False)
        expected = plain_loop(model, x, y, variable, 0.1, chosen)
        found = mismatch.discrete_gradient(model, "mse", x, y, variable, eps=0.1, coordinates=chosen)
        np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()), err_msg=variable.name)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def routed(model, x, y):
    """The variables whose coordinates are evaluated in the fast way."""
    batch = _changes.Batch(model, "mse", x, y)
    return [v.name for v in model.trainable_variables if _changes.LossChanges(batch, batch.variable(v))._route]


def test_the_fast_way_is_taken_where_it_can_be():
    for make in (dense_net, conv_net):
        model = make()
        assert len(routed(model, *data_for(model))) == len(model.trainable_variables) - 2 * (make is dense_net)
    shared = MODELS["shared"]()
    assert len(routed(shared, *data_for(shared))) < len(shared.trainable_variables)


@pytest.mark.parametrize("form", ["dense", "scaled sign", "conv"])
def test_memory_changes_nothing(form):
    model = MODELS[form]()
    x, y = data_for(model, 30)
    for variable in model.trainable_variables[2:4]:
        small, large = (
            mismatch.discrete_gradient(model, "mse", x, y, variable, eps=0.1, memory_mb=mb) for mb in (0.01, 500)
        )
        np.testing.assert_allclose(small, large, atol=1e-6)
        small, large = (
            mismatch.backward_gradients(model, "mse", x, y, [variable], memory_mb=mb)[0] for mb in (0.01, 500)
        )
        np.testing.assert_allclose(small, large, atol=1e-6)


def one_step(w, b):
    """A model y = [w x + b >= 1/2] of one number x."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1), CoupledStep(1)])
    model.set_weights([np.array([[w]], np.float32), np.array([b], np.float32)])
    return model


def test_against_the_normal_distribution_function():
    # x ~ N(0, 1), target 0, squared error: L(w, b) = P(w x + b >= 1/2) = Phi((b - 1/2) / w) for w > 0.
    w, b, n = 0.8, 0.3, 200_000
    x = gaussian.ppf((np.arange(n) + 0.5) / n)[:, None]
    model, y = one_step(w, b), np.zeros((n, 1))

    def exact(w, b):
        return gaussian.cdf((b - 0.5) / w)

    kernel, bias = model.trainable_variables
    for eps in (0.1, 0.01):
        found = [mismatch.discrete_gradient(model, "mse", x, y, v, eps=eps).item() for v in (kernel, bias)]
        expected = [
            (exact(w + eps, b) - exact(w - eps, b)) / (2 * eps),
            (exact(w, b + eps) - exact(w, b - eps)) / (2 * eps),
        ]
        # The smallest change of the mean is 1 / n.
        np.testing.assert_allclose(found, expected, atol=3 / (n * eps))

    # Over b' ~ N(b, sigma^2) the smoothed loss is Phi((b - 1/2) / sqrt(w^2 + sigma^2)).
    sigma = 0.3
    width = np.hypot(w, sigma)
    found = mismatch.evolution_gradient(model, "mse", x, y, bias, sigma=sigma, directions=1500)
    np.testing.assert_allclose(found, gaussian.pdf((b - 0.5) / width) / width, rtol=0.1)

    # The backward pass: E 2 y [0 <= w x + b <= 1] = 2 P(1/2 <= w x + b <= 1), and not the same.
    [backward] = mismatch.backward_gradients(model, "mse", x, y, [bias])
    expected = 2 * (gaussian.cdf((1 - b) / w) - gaussian.cdf((0.5 - b) / w))
    np.testing.assert_allclose(backward, expected, atol=1e-4)


def float_net():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(8, activation="relu") for _ in range(3)]
    return keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(4)])


@pytest.mark.parametrize("eps", [0.1, 0.01])
def test_full_precision_has_no_mismatch(eps):
    model, rng = float_net(), np.random.default_rng(0)
    x, y = rng.normal(size=(20_000, 8)), rng.integers(0, 4, 20_000)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for found in mismatch.similarities(model, loss, x, y, eps=eps):
        assert found.cosine > 0.998
        assert found.low == found.cosine == found.high
        assert found.measured == found.size


def test_evolution_strategies_agree_with_coordinates_where_nothing_is_quantized():
    model = float_net()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 8)), rng.normal(size=(500, 4))
    kernel = model.layers[-1].kernel
    [found] = mismatch.similarities(model, "mse", x, y, [kernel], eps=0.05, method="evolution", count=200)
    assert found.low <= found.cosine <= found.high
    assert found.cosine == pytest.approx(1, abs=0.1)
    # The cosine with the estimated gradient itself would be far less, since most of its length is noise.
    estimate = mismatch.evolution_gradient(model, "mse", x, y, kernel, sigma=0.05, directions=20)
    [backward] = mismatch.backward_gradients(model, "mse", x, y, [kernel])
    assert mismatch.cosine(estimate, backward) < 0.9


def test_reproducible_by_seed():
    model = dense_net()
    x, y = data_for(model)

    def found(seed, method):
        # Few directions may give NaN, which is not equal to itself; its text is.
        return str(mismatch.similarities(model, "mse", x, y, eps=0.1, count=10, seed=seed, method=method))

    for method in ("coordinates", "evolution"):
        assert found(0, method) == found(0, method)
        assert found(0, method) != found(1, method)


def test_intervals_of_coordinates_cover():
    rng, covered, size = np.random.default_rng(0), 0, 600
    for _ in range(200):
        backward = rng.normal(size=size)
        discrete = backward + rng.normal(size=size) * 0.5
        chosen = rng.choice(size, 150, replace=False)
        value, low, high = of_coordinates(discrete[chosen], backward[chosen], size, 0.9, rng)
        assert low <= value <= high
        covered += low <= mismatch.cosine(discrete, backward) <= high
    assert 160 <= covered <= 196


def test_intervals_of_directions_cover():
    rng, covered = np.random.default_rng(0), 0
    gradient, backward = rng.normal(size=(2, 20))
    backward = backward + 2 * gradient
    for _ in range(60):
        u = rng.normal(size=(150, 20))
        value, low, high = of_directions(u @ gradient, u @ backward, u @ u.T, np.linalg.norm(backward), 0.9, rng)
        assert low <= value <= high
        covered += low <= mismatch.cosine(gradient, backward) <= high
    assert covered >= 45


def test_other_models_and_several_inputs():
    class Sub(keras.Model):
        def __init__(self):
            super().__init__()
            self.first, self.last = keras.layers.Dense(5), keras.layers.Dense(2)

        def call(self, x):
            return self.last(CoupledStep(2)(self.first(x)))

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(40, 2)).astype(np.float32)
    model = Sub()
    with pytest.raises(ValueError, match="Call it on a batch first"):
        mismatch.similarities(model, "mse", x, y)
    model(x)
    expected = plain_loop(model, x, y, model.first.kernel, 0.1, range(15))
    found = mismatch.discrete_gradient(model, "mse", x, y, model.first.kernel, eps=0.1)
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-6)

    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model({"a": a, "b": b}, keras.layers.Dense(2)(tf.abs(a - 2 * b)))
    [one] = mismatch.similarities(model, "mse", {"b": x, "a": x + 1}, y)
    assert one.cosine > 0.999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 1e-9}, "eps 1e-09 vanishes beside the values of 'dense"),
        ({"eps": 0}, "eps must be positive"),
        ({"eps": 0.1, "memory_mb": 0}, "memory_mb must be positive"),
        ({"eps": 0.1, "coordinates": [48]}, "must be from 0 to 47"),
    ],
)
def test_options_that_make_no_sense(options, message):
    model = dense_net()
    with pytest.raises(ValueError, match=message):
        mismatch.discrete_gradient(model, "mse", *data_for(model), model.trainable_variables[0], **options)


def test_errors():
    model, other = dense_net(), dense_net()
    x, y = data_for(model)
    with pytest.raises(ValueError, match=r"variable 'dense\w*/kernel:0' is not in model 'sequential"):
        mismatch.discrete_gradient(model, "mse", x, y, other.layers[0].kernel, eps=0.1)
    with pytest.raises(ValueError, match="not finite without perturbation"):
        mismatch.similarities(model, "mse", x, y * np.nan)
    with pytest.raises(ValueError, match="must return one a sample"):
        mismatch.similarities(model, lambda y, p: tf.reduce_mean(y - p), x, y)
    with pytest.raises(ValueError, match="same number of samples"):
        mismatch.similarities(model, "mse", x, y[1:])
    with pytest.raises(ValueError, match="unknown method 'adjoint'; known: coordinates, evolution"):
        mismatch.similarities(model, "mse", x, y, method="adjoint")
    with pytest.raises(ValueError, match="sigma 1e-12 vanishes"):
        mismatch.evolution_gradient(model, "mse", x, y, model.layers[0].kernel, sigma=1e-12)
    with pytest.raises(ValueError, match=r"not finite with '.*' perturbed: try a smaller eps"):
        mismatch.discrete_gradient(model, lambda y, p: -tf.math.log(p), x, y, model.layers[-1].bias, eps=1e30)
    before = model.get_weights()
    with pytest.raises(ValueError, match="perturbed"):  # evolution strategies assign the variable, and must restore it
        mismatch.evolution_gradient(
            model, lambda y, p: -tf.math.log(p), x, y, model.layers[-1].bias, sigma=1e30, directions=2
        )
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
