"""Makes batches of a `Dataset`. Those of epoch e depend on the seed and e alone, so that training can resume."""

import functools
import os

from bduo_tf.backend import tf
from bduo_tf.data.images import AUGMENTATIONS, Augmentation, resized_crop_flip, scale
from bduo_tf.data.loading import Dataset
from bduo_tf.data.sharing import WHOLE, Share

__all__ = ["steps_per_epoch", "test_batches", "test_steps", "train_batches"]

_SHUFFLE_BYTES = 2**30  # the memory for images that are shuffled
_FILE_BYTES = 2**17  # the size of an image file that is reckoned with: ImageNet's files have 110 kB in the mean
_PATH_BYTES = 2**8


def _tuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    # With few cores the autotuner stretches every epoch to a multiple of 5 s.
    options.autotune.enabled = False
    options.deterministic = True
    return batches.prefetch(2).with_options(options)


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """The number of batches in an epoch, the last of which may be smaller."""
    return -(-dataset.num_train // batch_size)


def test_steps(dataset: Dataset, batch_size: int) -> int:
    """The number of batches of test images, the last of which may be smaller."""
    return -(-dataset.num_test // batch_size)


def train_batches(
    dataset: Dataset,
    batch_size: int,
    *,
    seed: int,
    epochs: int,
    start_epoch: int = 0,
    augmentation: str = "none",
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Shuffled, augmented batches of the epochs `start_epoch` to `epochs` - 1.

    The order of the images in epoch e depends on `seed` and e alone, and the augmentation of an image on
    these and the image: neither on the epochs before, nor on TensorFlow's global seed.

    Args:
        dataset: the data set, from `load`.
        batch_size: the number of images in a batch; the last batch of an epoch may be smaller.
        seed: any integer.
        epochs: the epoch to stop before.
        start_epoch: the first epoch, counted from 0.
        augmentation: a key of `AUGMENTATIONS`.
        share: the part of every batch that this worker sees; only that part is augmented.

    Returns:
        Pairs of float32 images (batch, height, width, channels) in [-1, 1] and int64 labels (batch,): for
        each epoch `steps_per_epoch` batches, each in as many parts as `share` has replicas.
    """
    augment: Augmentation = AUGMENTATIONS[augmentation]
    height, width, channels = dataset.input_shape
    images, size = dataset.train_pixels, height * width * channels
    if augmentation == "resized_crop_flip" and dataset.train_files is not None:
        # Files are shuffled before they are decoded, so that each worker decodes its own share only.
        images, read = dataset.train_files, dataset.read_file
        crop = functools.partial(resized_crop_flip, size=(height, width), channels=channels)
        size = _PATH_BYTES if read else _FILE_BYTES
        augment = (lambda file, seed: crop(read(file), seed)) if read else crop
    # If all images fit into the buffer, every order is possible; else images stay near their place.
    buffer = max(1, min(dataset.num_train, _SHUFFLE_BYTES // size))

    def epoch(e: tf.Tensor) -> tf.data.Dataset:
        tf.random.set_seed(1)  # for the graph of this function only, so that the order is not that of the global seed
        epoch_seed = tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), e)
        order_seed = tf.random.stateless_uniform([], epoch_seed, minval=None, maxval=None, dtype=tf.int64)

        def prepare(index: tf.Tensor, example: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            image, label = example
            return scale(augment(image, tf.random.experimental.stateless_fold_in(epoch_seed, index))), label

        shuffled = images.enumerate().shuffle(buffer, seed=order_seed, reshuffle_each_iteration=False)
        mine = share.images(shuffled, dataset.num_train, batch_size)
        prepared = mine.map(prepare, num_parallel_calls=os.cpu_count())
        return share.batches(prepared, dataset.num_train, batch_size)

    return _tuned(tf.data.Dataset.range(start_epoch, epochs).flat_map(epoch))


def test_batches(dataset: Dataset, batch_size: int, share: Share = WHOLE) -> tf.data.Dataset:  # noqa: PT028
    """Batches of the test images in their order, in the form of `train_batches`, neither shuffled nor augmented."""
    mine = share.images(dataset.test, dataset.num_test, batch_size)
    return _tuned(share.batches(mine, dataset.num_test, batch_size))


# pytest would take these two for tests wherever they are imported.
test_batches.__test__ = test_steps.__test__ = False  # type: ignore[attr-defined]
