"""Batches: those of an epoch depend on the seed and the epoch alone."""

import numpy as np
import pytest

from bduo_tf import data
from bduo_tf.backend import tf

COUNT, BATCH = 50, 16
STEPS = 4


@pytest.fixture(scope="module")
def dataset() -> data.Dataset:
    rng = np.random.default_rng(0)
    pixels = tf.data.Dataset.from_tensor_slices(
        (rng.integers(0, 256, (COUNT, 8, 8, 1), np.uint8), np.arange(COUNT, dtype=np.int64))
    )
    names, fit = tuple(map(str, range(COUNT))), data.Fit((8, 8), whole=False)
    return data.Dataset("numbers", names, (8, 8, 1), COUNT, COUNT, "test", pixels, pixels, fit)


def _epochs(dataset: data.Dataset, start: int = 0, seed: int = 0, augmentation: str = "crop_flip"):
    batches = list(
        data.train_batches(
            dataset, BATCH, seed=seed, epochs=4, start_epoch=start, augmentation=augmentation
        ).as_numpy_iterator()
    )
    assert len(batches) == (4 - start) * STEPS
    return [batches[i : i + STEPS] for i in range(0, len(batches), STEPS)]


def _labels(epoch) -> list[int]:
    return np.concatenate([labels for _, labels in epoch]).tolist()


def test_an_epoch_holds_every_image_once_and_keeps_the_last_batch(dataset: data.Dataset) -> None:
    assert data.steps_per_epoch(dataset, BATCH) == STEPS
    for epoch in _epochs(dataset):
        assert [len(labels) for _, labels in epoch] == [16, 16, 16, 2]
        assert sorted(_labels(epoch)) == list(range(COUNT))


@pytest.mark.parametrize("start", [1, 3])
def test_a_late_start_shows_what_an_early_one_does(dataset: data.Dataset, start: int) -> None:
    whole = _epochs(dataset)
    tf.random.set_seed(1234)  # the global seed must not matter
    for one, other in zip(whole[start:], _epochs(dataset, start), strict=True):
        for (images, labels), (other_images, other_labels) in zip(one, other, strict=True):
            np.testing.assert_array_equal(labels, other_labels)
            np.testing.assert_array_equal(images, other_images)


def test_epochs_and_seeds_differ(dataset: data.Dataset) -> None:
    orders = [tuple(_labels(epoch)) for seed in (0, 1) for epoch in _epochs(dataset, seed=seed)]
    assert len(set(orders)) == 8
    assert tuple(range(COUNT)) not in orders
    # The images are not only in another order: the augmentation of an image differs too.
    image = {
        dict(zip(_labels(epoch), np.concatenate([images for images, _ in epoch]), strict=True))[0].tobytes()
        for epoch in _epochs(dataset)
    }
    assert len(image) >= 3


def test_images_stay_with_their_labels(dataset: data.Dataset) -> None:
    expected = {int(label): image for image, label in dataset.train.as_numpy_iterator()}
    for images, labels in _epochs(dataset, augmentation="none")[0]:
        for image, label in zip(images, labels, strict=True):
            np.testing.assert_array_equal(image, expected[label])


def test_test_batches_are_in_order(dataset: data.Dataset) -> None:
    batches = list(data.test_batches(dataset, BATCH).as_numpy_iterator())
    assert np.concatenate([labels for _, labels in batches]).tolist() == list(range(COUNT))
    assert batches[0][0].dtype == np.float32


def test_the_autotuner_is_off(dataset: data.Dataset) -> None:
    for batches in (data.train_batches(dataset, BATCH, seed=0, epochs=1), data.test_batches(dataset, BATCH)):
        assert batches.options().autotune.enabled is False
