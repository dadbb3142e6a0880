"""A device makes of a picture what the network was evaluated on, on the whole way from the file to the input."""

import io

import numpy as np
import pytest

import bduo_runtime
from bduo_runtime import _pictures
from bduo_runtime._images import fit
from bduo_tf.backend import keras, tf
from bduo_tf.conversion.metadata import Metadata, add_metadata
from bduo_tf.conversion.tflite import convert_float32
from bduo_tf.data.images import INPUT_RANGE, decode, fit_size, scale
from bduo_tf.fitting import choose_fit, fit_image

Image = pytest.importorskip("PIL.Image")

GREY_LEVEL = 2 / 255  # the difference that it makes in the network's input


def pixels(shape):
    """A picture with structure of every size, so that cropping and resizing make a difference."""
    rng = np.random.default_rng(0)
    height, width, channels = shape
    coarse = np.kron(rng.integers(0, 200, (-(-height // 16), -(-width // 16), channels)), np.ones((16, 16, 1)))
    return np.clip(coarse[:height, :width] + rng.normal(0, 20, shape), 0, 255).astype(np.uint8)


def device(fitted, size, channels):
    """The runtime's interpreter of a file that says how its images were fitted."""
    image = keras.Input((*size, channels))
    file = convert_float32(keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)))
    return bduo_runtime.Interpreter(add_metadata(file, Metadata("net", (), INPUT_RANGE, channels, fit=fitted)))


KINDS = {
    "of the network's size": ((32, 32, 3), (32, 32, 3)),
    "with a margin": ((28, 28, 1), (28, 28, 1)),
    "with a margin, another picture": ((28, 28, 1), (100, 75, 1)),
    "smaller": ((8, 8, 1), (8, 8, 1)),
    "larger": ((96, 64, 3), (96, 64, 3)),
    "larger, another picture": ((96, 64, 3), (37, 50, 3)),
    "photographs, wide": ((None, None, 3), (375, 500, 3)),
    "photographs, high": ((None, None, 3), (500, 333, 3)),
    "photographs, small": ((None, None, 3), (20, 30, 3)),
}


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (24, 36)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data_set_is_fitted_alike(kind, size):
    shape, picture = KINDS[kind]
    fitted, image = choose_fit(shape[:2], size), pixels(picture)
    there = device(fitted, size, shape[2]).preprocess(image if shape[2] == 3 else image[..., 0])[0]
    here = scale(fit_image(tf.constant(image), fitted, size)).numpy()
    assert np.abs(here - there).max() <= 1.01 * GREY_LEVEL
    if None not in shape and shape == picture:  # the data set itself does it so
        np.testing.assert_array_equal(scale(fit_size(tf.constant(image), size)), here)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_photographs_in_files(kind, tmp_path):
    content = io.BytesIO()
    Image.fromarray(pixels((375, 500, 3))).save(content, kind, quality=90)
    file = tmp_path / f"photo.{kind.lower()}"
    file.write_bytes(content.getvalue())
    fitted = choose_fit((None, None), (224, 224))
    here = scale(fit_image(decode(tf.constant(content.getvalue()), 3), fitted, (224, 224))).numpy()
    there = device(fitted, (224, 224), 3).preprocess(_pictures.read_picture(str(file)))[0]
    assert np.abs(here - there).max() <= 1.01 * GREY_LEVEL


@pytest.mark.parametrize(
    "shape", [(32, 32, 3), (8, 8, 1), (28, 28, 1), (480, 640, 3), (64, 40, 3), (5, 40, 3), (27, 33, 1)]
)
def test_files_without_a_description_are_fitted_as_data_sets_of_that_size(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    here, there = fit_size(tf.constant(image), (32, 32)).numpy(), fit(image, (32, 32))
    # Resizing rounds in another way, which makes a difference of one grey level.
    assert np.abs(here.astype(int) - there).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_the_hidden_colours_of_a_transparent_picture_do_not_show(mode, tmp_path):
    visible = np.zeros((32, 32), np.uint8)
    visible[8:24, 12:20] = 255
    rgba = np.dstack([np.full((32, 32, 3), 255, np.uint8), visible])  # all of it is white, and most of it transparent
    picture = Image.fromarray(rgba)
    picture = picture.quantize() if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / "a.png")
    expected = scale(tf.constant(np.repeat(visible[..., None], 3, 2))).numpy()
    read = device(choose_fit((32, 32), (32, 32)), (32, 32), 3).preprocess(
        _pictures.read_picture(str(tmp_path / "a.png"))
    )
    np.testing.assert_allclose(read[0], expected, atol=GREY_LEVEL)
