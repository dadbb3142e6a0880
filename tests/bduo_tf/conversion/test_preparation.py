"""A model becomes the one that is converted: in float32, of known size, decoupled and deployed."""

from types import SimpleNamespace

import numpy as np
import pytest

import bduo_tf
from bduo_tf.backend import keras, lq, tf
from bduo_tf.conversion import preparation
from bduo_tf.conversion.errors import ConversionError, explained
from bduo_tf.conversion.preparation import as_float32, decoupled, deployed, image_size, sized
from bduo_tf.deployment import deploy
from tests.bduo_tf.conversion.models import binary, random_inputs, small_vgg7


def half():
    """A model of mixed precision under a global policy of float32, as when it is loaded from a file."""
    keras.utils.set_random_seed(0)
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        return _layers()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def _layers():
    x = keras.Input((8, 8, 3))
    conv = lq.layers.QuantConv2D(8, 3, input_quantizer=bduo_tf.CoupledStep(2), kernel_quantizer=bduo_tf.ScaledSign())
    y = keras.layers.Flatten()(conv(keras.layers.BatchNormalization()(x)))
    y = keras.layers.Dense(3)(tf.cast(y, tf.float16) * 2)
    return keras.Model(x, keras.layers.Activation("softmax", dtype="float32")(y))


def test_half_precision_becomes_float32():
    model = half()
    again = as_float32(model)
    assert {layer.compute_dtype for layer in again._flatten_layers()} == {"float32"}
    images = random_inputs(model, 4)
    np.testing.assert_allclose(again.predict(images, verbose=0), model.predict(images, verbose=0), atol=0.02)
    assert deployed(decoupled(again)).graph.output_shape == (None, 3)


def test_half_precision_in_a_file_becomes_float32(tmp_path):
    half().save(tmp_path / "half.keras")
    model = keras.models.load_model(tmp_path / "half.keras", compile=False)
    again = as_float32(model)  # in which tf.cast has its type by name
    assert {tensor.dtype.name for layer in again.layers for tensor in tf.nest.flatten(layer.output)} == {"float32"}
    images = random_inputs(model, 4)
    np.testing.assert_allclose(again.predict(images, verbose=0), model.predict(images, verbose=0), atol=0.02)


def test_float32_stays_the_same_model():
    model = small_vgg7()
    assert as_float32(model) is model


@pytest.mark.parametrize(("text", "size"), [("224", (224, 224)), ("12x10", (12, 10)), ("12X10", (12, 10))])
def test_image_sizes(text, size):
    assert image_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "0", "-3", "1x2x3", "12x", "1.5"])
def test_wrong_image_sizes(text):
    with pytest.raises(ValueError):  # noqa: PT011
        image_size(text)


def open_size(channels=3):
    x = keras.Input((None, None, channels), name="image")
    return keras.Model(x, keras.layers.Dense(4, name="out")(keras.layers.GlobalAveragePooling2D()(binary(x))))


def open_valid():
    x = keras.Input((None, None, 3))
    return keras.Model(x, keras.layers.Conv2D(4, 3)(x))


def test_an_open_size_is_filled_in():
    model = open_size()
    fixed = sized(model, (12, 10))
    assert fixed.input_shape == (None, 12, 10, 3)
    images = np.random.default_rng(0).normal(size=(2, 12, 10, 3)).astype(np.float32)
    np.testing.assert_allclose(deployed(fixed).graph(images), model(images), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "size", "message"),
    [
        (open_size, None, r"has inputs of unknown size: .* Give one: `image_size=\(height, width\)`"),
        (
            lambda: keras.Sequential([keras.Input((None, 3)), keras.layers.Dense(2)]),
            (4, 4),
            "Build it with all sizes known",
        ),
        (small_vgg7, (12, 10), r"`image_size` is for inputs of unknown size; .* takes \(16, 16, 1\)"),
        (open_valid, (2, 2), "cannot take images of 2x2"),
    ],
)
def test_sizes_that_do_not_fit(make, size, message):
    with pytest.raises(ConversionError, match=message):
        sized(make(), size)


def test_the_size_that_a_model_has_may_be_given():
    model = small_vgg7()
    assert sized(model, (16, 16)) is model


def test_nothing_to_decouple_is_no_error():
    model = small_vgg7("baseline")
    assert decoupled(model) is model
    assert decoupled(small_vgg7()).name == "vgg7_decoupled"


def test_a_coupled_model_says_what_to_do():
    with pytest.raises(ConversionError, match=r"layer 'conv2' is still coupled .* Or pass `decouple=True`"):
        deployed(small_vgg7())


def test_layers_that_stay_float_are_refused_unless_allowed(monkeypatch):
    model = small_vgg7("baseline")
    floats = (
        SimpleNamespace(name="dw", reason="LCE has no such kernel", from_step=True),
        SimpleNamespace(name="first", reason="it reads floats", from_step=False),
    )
    found = deploy(model)
    monkeypatch.setattr(preparation, "deploy", lambda model: SimpleNamespace(**{**vars(found), "floats": floats}))
    with pytest.raises(
        ConversionError, match=r"layer 'dw' would stay float: LCE has no such kernel\. Pass `allow_float=True`"
    ) as e:
        deployed(model)
    assert "first" not in str(e.value)
    assert str(e.value).endswith("Pass `allow_float=True` to convert it all the same.")
    assert deployed(model, allow_float=True).floats == floats


def test_other_exceptions_become_one_line():
    with pytest.raises(ConversionError, match=r"^It failed: KeyError: 'x'$"), explained("It failed"):
        raise KeyError("x")
    with pytest.raises(ConversionError, match=r"^It failed: first$"), explained("It failed"):
        raise ValueError("first\nsecond")
    with pytest.raises(KeyboardInterrupt), explained("It failed"):
        raise KeyboardInterrupt
