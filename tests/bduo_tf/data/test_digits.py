"""The digits builder: it gives the same images and classes every time."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from bduo_tf import data


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    return data.load("digits", data_dir=tmp_path_factory.mktemp("tfds"))


def _arrays(split) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*split.as_numpy_iterator(), strict=True)
    return np.stack(images), np.array(labels)


def test_counts_and_shapes(digits: data.Dataset) -> None:
    assert (digits.num_train, digits.num_test) == (1437, 360)
    assert digits.input_shape == (8, 8, 1)
    assert digits.class_names == tuple("0123456789")
    images, labels = _arrays(digits.train_pixels)
    assert images.shape == (1437, 8, 8, 1)
    assert images.dtype == np.uint8
    assert labels.shape == (1437,)


def test_every_class_in_proportion(digits: data.Dataset) -> None:
    everything = np.bincount(load_digits().target)
    for split, share in ((digits.train_pixels, 1437 / 1797), (digits.test_pixels, 360 / 1797)):
        counts = np.bincount(_arrays(split)[1], minlength=10)
        np.testing.assert_allclose(counts, everything * share, atol=1.0)


def test_no_image_is_lost_or_shared(digits: data.Dataset) -> None:
    images = np.concatenate([_arrays(split)[0] for split in (digits.train_pixels, digits.test_pixels)])
    expected = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    assert sorted(i.tobytes() for i in images) == sorted(i.tobytes() for i in expected)


def test_pixels_span_the_range(digits: data.Dataset) -> None:
    pixels = _arrays(digits.train_pixels)[0]
    # Of the 17 grey levels one falls on a half, which is rounded to the even neighbour.
    assert set(np.unique(pixels)) == set(np.rint(np.arange(17) * 255 / 16).astype(int))
    scaled = _arrays(digits.train)[0]
    assert scaled.dtype == np.float32
    assert (scaled.min(), scaled.max()) == (-1.0, 1.0)


def test_prepared_twice_the_same(digits: data.Dataset, tmp_path: Path) -> None:
    again = data.load("digits", data_dir=tmp_path)
    for one, other in zip(_arrays(digits.test_pixels), _arrays(again.test_pixels), strict=True):
        np.testing.assert_array_equal(one, other)
