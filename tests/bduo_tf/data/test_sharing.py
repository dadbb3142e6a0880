"""Shares: the parts of all replicas of all workers make the batches of one worker, image for image."""

import numpy as np
import pytest

from bduo_tf import data
from bduo_tf.data.sharing import Share
from tests.bduo_tf.data.test_pipeline import BATCH, COUNT, STEPS, dataset  # noqa: F401

LAYOUTS = [(1, 2), (2, 1), (3, 1), (2, 3), (16, 1)]  # pairs of the number of workers and that of each worker's replicas


def _put_together(shares: list[list]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Puts the parts of all workers together again to batches, pairs (images, labels)."""
    whole = []
    for parts in zip(*shares, strict=True):
        flat = [part for worker in parts for part in worker]
        sizes = [len(labels) for _, labels in flat]
        assert max(sizes) - min(sizes) <= (2 if len(parts) > 1 and len(parts[0]) > 1 else 1)
        whole.append(tuple(np.concatenate(part) for part in zip(*flat, strict=True)))
    return whole


def _steps(batches, replicas: int) -> list:
    elements = list(batches.as_numpy_iterator())
    assert len(elements) % replicas == 0
    return [elements[i : i + replicas] for i in range(0, len(elements), replicas)]


@pytest.mark.parametrize(("workers", "replicas"), LAYOUTS)
def test_all_shares_make_the_batches_of_one_worker(dataset: data.Dataset, workers: int, replicas: int) -> None:  # noqa: F811
    arguments = {"seed": 3, "epochs": 3, "start_epoch": 1, "augmentation": "crop_flip"}
    shares = [Share(worker, workers, replicas) for worker in range(workers)]
    for kind in ("train", "test"):
        if kind == "train":
            alone = list(data.train_batches(dataset, BATCH, **arguments).as_numpy_iterator())
            parts = [data.train_batches(dataset, BATCH, **arguments, share=share) for share in shares]
            assert len(alone) == 2 * STEPS
        else:
            alone = list(data.test_batches(dataset, BATCH).as_numpy_iterator())
            parts = [data.test_batches(dataset, BATCH, share) for share in shares]
        together = _put_together([_steps(part, replicas) for part in parts])
        assert len(together) == len(alone)
        for (images, labels), (expected, expected_labels) in zip(together, alone, strict=True):
            np.testing.assert_array_equal(labels, expected_labels)
            np.testing.assert_array_equal(images, expected)


def test_a_worker_without_an_image_of_the_last_batch_still_takes_the_step(dataset: data.Dataset) -> None:  # noqa: F811
    assert COUNT % BATCH == 2
    sizes = [len(labels) for _, labels in data.test_batches(dataset, BATCH, Share(0, 3)).as_numpy_iterator()]
    assert sizes == [5, 5, 5, 0]
    assert data.test_steps(dataset, BATCH) == len(sizes)
