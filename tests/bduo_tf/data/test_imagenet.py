"""ImageNet's pipeline on made-up images of TFDS's mock: each worker decodes its own files only."""

from pathlib import Path

import numpy as np
import pytest

from bduo_tf import data
from bduo_tf.backend import tf
from bduo_tf.data.sharing import Share

import tensorflow_datasets as tfds  # isort: skip

COUNT, BATCH = 7, 4


@pytest.fixture
def imagenet(tmp_path: Path) -> data.Dataset:
    """A mocked ImageNet with seven images in each split, which TFDS takes for prepared."""
    builder = tfds.builder("imagenet2012", data_dir=tmp_path)
    template = tfds.core.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name=builder.name, filetype_suffix="tfrecord"
    )
    splits = [
        tfds.core.SplitInfo(name=name, shard_lengths=[COUNT], num_bytes=0, filename_template=template)
        for name in ("train", "validation")
    ]
    builder.info.set_splits(tfds.core.SplitDict(splits))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)
    with tfds.testing.mock_data(num_examples=COUNT, data_dir=tmp_path):
        return data.load("imagenet2012", (224, 224), tmp_path)


def _batches(dataset: data.Dataset, share: Share, epochs: int = 2) -> list:
    batches = data.train_batches(dataset, BATCH, seed=0, epochs=epochs, augmentation="resized_crop_flip", share=share)
    return list(batches.as_numpy_iterator())


def test_files_come_undecoded(imagenet: data.Dataset) -> None:
    assert imagenet.train_files.element_spec[0] == tf.TensorSpec((), tf.string)
    images, labels = zip(*_batches(imagenet, Share()), strict=True)
    assert [len(part) for part in labels] == [4, 3, 4, 3]
    assert all(part.shape[1:] == (224, 224, 3) and part.dtype == np.float32 for part in images)
    assert sorted(np.concatenate(labels[:2])) == sorted(np.concatenate(labels[2:]))


def test_two_workers_see_what_one_does(imagenet: data.Dataset) -> None:
    parts = [_batches(imagenet, Share(worker, 2), epochs=1) for worker in (0, 1)]
    for (images, labels), *shares in zip(_batches(imagenet, Share(), epochs=1), *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate([share[1] for share in shares]), labels)
        np.testing.assert_array_equal(np.concatenate([share[0] for share in shares]), images)


def test_evaluated_is_the_centre(imagenet: data.Dataset) -> None:
    assert imagenet.test_split == "validation"
    images = np.concatenate([x for x, _ in data.test_batches(imagenet, BATCH).as_numpy_iterator()])
    assert images.shape == (COUNT, 224, 224, 3)
