"""Fitting, scaling and augmenting one image."""

import numpy as np
import pytest

from bduo_tf.backend import tf
from bduo_tf.data.images import AUGMENTATIONS, INPUT_RANGE, decode, fit_size, resized_crop_flip, scale


def _random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, shape, np.uint8)


def test_scale() -> None:
    np.testing.assert_array_equal(scale(tf.constant([0, 255], tf.uint8)), INPUT_RANGE)
    assert abs(float(scale(tf.constant(127, tf.uint8)))) < 0.005


def test_fit_keeps_an_image_of_the_size() -> None:
    image = _random(32, 32, 3)
    np.testing.assert_array_equal(fit_size(tf.constant(image), (32, 32)), image)


def test_fit_gives_28_pixels_a_dark_margin() -> None:
    image = _random(28, 28, 1)
    fitted = fit_size(tf.constant(image), (32, 32))
    assert fitted.dtype == tf.uint8
    np.testing.assert_array_equal(fitted, np.pad(image, ((2, 2), (2, 2), (0, 0))))
    assert float(tf.reduce_min(scale(fitted))) == -1.0


def test_fit_enlarges_bilinearly() -> None:
    # Pixels have their centres at halves: the outer ones repeat the corners, those between mix neighbours 3 to 1.
    image = tf.constant([[0, 80], [80, 160]], tf.uint8)[..., None]
    expected = [[0, 20, 60, 80], [20, 40, 80, 100], [60, 80, 120, 140], [80, 100, 140, 160]]
    np.testing.assert_array_equal(fit_size(image, (4, 4))[..., 0], expected)


def test_fit_shrinks_with_antialiasing() -> None:
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 254
    fitted = fit_size(tf.constant(stripes), (16, 16)).numpy()
    assert np.all(abs(fitted.astype(int) - 127) <= 12)


@pytest.mark.parametrize("size", [(64, 192), (192, 64)])
def test_fit_crops_to_the_proportions(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    h, w = (s // 2 - 32 for s in size)
    image[h : h + 64, w : w + 64] = 200
    np.testing.assert_array_equal(fit_size(tf.constant(image), (32, 32)), np.full((32, 32, 3), 200, np.uint8))


def test_fit_takes_unknown_sizes() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def fit(image: tf.Tensor) -> tf.Tensor:
        return fit_size(image, (16, 24))

    assert fit.get_concrete_function().output_shapes == (16, 24, 3)
    assert fit(_random(7, 50, 3)).shape == (16, 24, 3)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentation_depends_on_the_seed_alone(name: str) -> None:
    image = tf.constant(_random(32, 32, 3))
    augment = AUGMENTATIONS[name]
    seeds = [tf.constant([1, i]) for i in range(8)]
    first = [augment(image, seed).numpy() for seed in seeds]
    tf.random.set_seed(7)
    for one, seed in zip(first, seeds, strict=True):
        assert one.shape == (32, 32, 3)
        np.testing.assert_array_equal(one, augment(image, seed))
    kinds = len({one.tobytes() for one in first})
    assert kinds == {"none": 1, "flip": 2}.get(name, kinds)
    assert kinds >= {"none": 1, "flip": 2}.get(name, 6)


def test_flip_mirrors_left_to_right() -> None:
    image = _random(4, 4, 1)
    flipped = {AUGMENTATIONS["flip"](tf.constant(image), tf.constant([0, i])).numpy().tobytes() for i in range(16)}
    assert flipped == {image.tobytes(), image[:, ::-1].tobytes()}


def test_crop_shifts_by_at_most_four_and_fills_with_dark() -> None:
    image = _random(16, 16, 1)
    padded = np.pad(image, ((4, 4), (4, 4), (0, 0)))
    windows = {padded[y : y + 16, x : x + 16].tobytes() for y in range(9) for x in range(9)}
    crops = {AUGMENTATIONS["crop"](tf.constant(image), tf.constant([0, i])).numpy().tobytes() for i in range(64)}
    assert crops <= windows
    assert len(crops) > 30


def test_a_photograph_is_resized_to_256_and_its_centre_taken() -> None:
    @tf.function(input_signature=[tf.TensorSpec((None, None, 3), tf.uint8)])
    def fit(image: tf.Tensor) -> tf.Tensor:
        return fit_size(image, (224, 224))

    ramp = np.tile(np.arange(512, dtype=np.float64)[:, None, None] / 2, (1, 700, 3)).astype(np.uint8)
    expected = tf.image.resize(ramp, (256, 350), antialias=True)[16:240, 63:287]
    np.testing.assert_array_equal(fit(tf.constant(ramp)), tf.cast(tf.round(expected), tf.uint8))


def _gradient(height: int, width: int) -> np.ndarray:
    """An image whose red value is the row and whose green value the column of the pixel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)


def test_a_resized_crop_is_a_part_of_fair_area_and_proportions() -> None:
    image = _gradient(200, 240)
    sides, flips = [], 0
    for i in range(200):
        part = resized_crop_flip(tf.constant(image), tf.constant([3, i]), (64, 64), 3).numpy().astype(int)
        height, width = part[-1, 0, 0] - part[0, 0, 0], abs(part[0, -1, 1] - part[0, 0, 1])
        sides.append((height, width))
        flips += part[0, 0, 1] > part[0, -1, 1]
    # From the centre of the first sample to that of the last it is a 64th less than the part, and both are rounded.
    height, width = (np.array(sides) * 64 / 63 + 1).T
    area, proportions = height * width / image[..., 0].size, width / height
    assert 0.06 < area.min() < 0.15
    assert 0.85 < area.max() < 1.05
    assert 0.70 < proportions.min() < 0.85
    assert 1.2 < proportions.max() < 1.43
    assert 70 < flips < 130


def test_of_a_jpeg_the_same_part_is_decoded() -> None:
    jpeg = tf.io.encode_jpeg(_gradient(160, 120), quality=100, chroma_downsampling=False)
    png = tf.io.encode_png(decode(jpeg, 3))
    for i in range(8):
        seed = tf.constant([1, i])
        one, same = (resized_crop_flip(file, seed, (32, 32), 3).numpy().astype(int) for file in (jpeg, png))
        assert abs(one - same).max() <= 1
