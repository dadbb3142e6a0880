"""`Fit`: which one a data set gets, what it does to pictures of other sizes, and that Pillow gives the same pixels."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from bduo_tf.backend import tf
from bduo_tf.data.images import decode, resized_crop_flip
from bduo_tf.fitting import Fit, choose_fit, fit_image


@pytest.mark.parametrize(
    ("pictures", "size", "fit"),
    [
        ((28, 28), (28, 28), Fit((28, 28), whole=False)),
        ((28, 28), (32, 32), Fit((28, 28), whole=False)),  # a margin
        ((28, 30), (32, 36), Fit((28, 30), whole=False)),  # smaller by at most a sixth
        ((26, 28), (32, 32), Fit((32, 32), whole=False)),
        ((28, 28), (32, 24), Fit((32, 24), whole=False)),
        ((8, 8), (32, 32), Fit((32, 32), whole=False)),
        ((600, 400), (64, 64), Fit((64, 64), whole=False)),
        ((None, None), (224, 224), Fit((256, 256), whole=True)),
        ((None, None), (32, 40), Fit((37, 46), whole=True)),
        ((None, 300), (224, 224), Fit((256, 256), whole=True)),
    ],
)
def test_choice(pictures: tuple[int | None, int | None], size: tuple[int, int], fit: Fit) -> None:
    assert choose_fit(pictures, size) == fit


def test_a_picture_of_another_size_gets_the_margin_too() -> None:
    """A device may show a picture of any size to a network that was trained on 28 pixels with a margin to 32."""
    image = tf.constant(np.full((56, 84, 1), 200, np.uint8))
    fitted = fit_image(image, Fit((28, 28), whole=False), (32, 32))
    np.testing.assert_array_equal(fitted, np.pad(np.full((28, 28, 1), 200), ((2, 2), (2, 2), (0, 0))))


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_odd_is_cropped_or_padded_less_before_than_after(whole: bool) -> None:
    image = tf.constant(np.arange(1, 50, dtype=np.uint8).reshape(7, 7, 1))
    fit = Fit((7, 7), whole)
    np.testing.assert_array_equal(fit_image(image, fit, (4, 4)), image[1:5, 1:5])
    np.testing.assert_array_equal(fit_image(image, fit, (10, 4)), np.pad(image[:, 1:5], ((1, 2), (0, 0), (0, 0))))


def test_the_whole_picture_covers_in_its_proportions() -> None:
    ramp = np.tile(np.arange(90, dtype=np.uint8)[None, :, None] * 2, (60, 1, 1))
    fitted = fit_image(tf.constant(ramp), Fit((20, 20), whole=True), (20, 40)).numpy()[..., 0]
    # The picture is resized to 20x30 and gets a margin of 5 rows at the top and at the bottom.
    assert not fitted[:, :5].any()
    assert not fitted[:, 35:].any()
    np.testing.assert_allclose(fitted[0, 6:34], 6 * np.arange(1, 29) + 2, atol=1)


def _picture(name: str, height: int, width: int, mode: str) -> Image.Image:
    return Image.fromarray(load_sample_image(name)).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def _by_pillow(picture: Image.Image, fit: Fit, size: tuple[int, int]) -> np.ndarray:
    """Fits a photograph by Pillow, as a device does."""
    ratio = max(fit.resize[0] / picture.height, fit.resize[1] / picture.width)
    sides = round(picture.width * ratio), round(picture.height * ratio)
    left, top = (sides[0] - size[1]) // 2, (sides[1] - size[0]) // 2
    box = (left, top, left + size[1], top + size[0])
    pixels = np.asarray(picture.resize(sides, Image.Resampling.BILINEAR).crop(box))
    return pixels.reshape(*size, -1).astype(int)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{"quality": 95}, {"quality": 50}, {"quality": 90, "progressive": True}])
@pytest.mark.parametrize(("height", "width"), [(427, 640), (375, 500), (501, 333), (100, 150)])
def test_a_jpeg_is_what_pillow_makes_of_it(mode: str, options: dict, height: int, width: int) -> None:
    file = io.BytesIO()
    _picture("china.jpg", height, width, mode).save(file, "jpeg", **options)
    pixels = decode(tf.constant(file.getvalue()), len(mode))
    picture = Image.open(file)
    np.testing.assert_array_equal(pixels, np.asarray(picture).reshape(height, width, -1))
    fit = choose_fit((None, None), (224, 224))
    fitted = fit_image(pixels, fit, (224, 224)).numpy().astype(int)
    # Pillow rounds between its two passes, and its weights have fewer bits.
    assert abs(fitted - _by_pillow(picture, fit, (224, 224))).max() <= 1


def test_training_decodes_a_jpeg_as_evaluation_does() -> None:
    file = io.BytesIO()
    _picture("flower.jpg", 64, 64, "RGB").save(file, "jpeg", quality=100, subsampling=0)
    jpeg = tf.constant(file.getvalue())
    png = tf.io.encode_png(decode(jpeg, 3))
    for i in range(4):
        one, same = (resized_crop_flip(f, tf.constant([2, i]), (64, 64), 3) for f in (jpeg, png))
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("format", ["png", "gif", "bmp"])
def test_other_formats_are_decoded_too(format: str) -> None:
    file = io.BytesIO()
    picture = _picture("flower.jpg", 20, 30, "P" if format == "gif" else "RGB")
    picture.save(file, format)
    np.testing.assert_array_equal(decode(tf.constant(file.getvalue()), 3), np.asarray(picture.convert("RGB")))
