"""Loads any image-classification data set by its name, its images brought to the network's size."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bduo_tf.backend import tf
from bduo_tf.data import catalog
from bduo_tf.data.errors import DataError
from bduo_tf.data.folder import PREFIX, open_folder
from bduo_tf.data.images import INPUT_RANGE, SCALING, scale
from bduo_tf.data.source import Part, Source, require_size
from bduo_tf.fitting import Fit, choose_fit, fit_image

__all__ = ["Dataset", "describe", "load"]

_CACHE_BYTES = 2**31  # the images of a split are kept in memory if they take no more than that


@dataclass(frozen=True)
class Dataset:
    """An image-classification data set, its images brought to the network's size.

    Attributes:
        name: the name with which it was loaded.
        class_names: the name of the class of each label.
        input_shape: (height, width, channels) of every image.
        num_train: the number of training images.
        num_test: the number of test images.
        test_split: which images are the test images: TFDS's expression for them, such as "test" or "train[90:]", the
            name of a folder, or a few words.
        train_pixels: the training images, unbatched pairs (uint8 image, int64 label) in a fixed order, kept in memory
            if they are small.
        test_pixels: the test images in the same form.
        fit: the way in which the images were brought to that size, and any other picture is to be.
        train_files: the training images in the same order as unbatched pairs (string, int64 label). The string is the
            content of an image file, or what `read_file` takes. They are there if the images differ in size or are too
            large for memory; otherwise this is None.
        scaling: the formula by which pixels become the network's input.
        input_range: what a black and a white pixel become by that formula.
        read_file: makes uint8 pixels (height, width, channels) of a string of `train_files`; None if those are the
            contents of image files.
        remark: what of a folder of pictures was left out, in one line; empty if nothing was.
    """

    name: str
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    num_train: int
    num_test: int
    test_split: str
    train_pixels: tf.data.Dataset = field(repr=False)
    test_pixels: tf.data.Dataset = field(repr=False)
    fit: Fit
    train_files: tf.data.Dataset | None = field(default=None, repr=False)
    scaling: str = SCALING
    input_range: tuple[float, float] = INPUT_RANGE
    read_file: Callable[[tf.Tensor], tf.Tensor] | None = field(default=None, repr=False)
    remark: str = ""

    @property
    def train(self) -> tf.data.Dataset:
        """The training images as unbatched pairs (float32 image in [-1, 1], int64 label) in a fixed order."""
        return self.train_pixels.map(_scale_image)

    @property
    def test(self) -> tf.data.Dataset:
        """The test images in the form of `train`."""
        return self.test_pixels.map(_scale_image)


def load(
    name: str,
    image_size: tuple[int, int] | None = None,
    data_dir: str | Path | None = None,
    *,
    validation: float = 0.0,
) -> Dataset:
    """Prepares and opens a data set.

    Args:
        name: "digits" (scikit-learn's, always available), a data set of TensorFlow Datasets, or "folder:PATH" for a
            folder of pictures, see `bduo_tf.data.folder`. Where there are training images only, a fifth of each class
            is set aside to be evaluated on, the same ones in every process.
        image_size: (height, width) to which images are brought, see `choose_fit`; None keeps their own size.
        data_dir: a folder of IDX files (for "mnist", "fashion_mnist" and "kmnist"), or the folder in
            which TFDS keeps its data sets; None stands for TFDS's default, ~/tensorflow_datasets.
        validation: the fraction of the training images that takes the place of the test images, so that
            hyperparameters can be chosen without the test split; 0 keeps the test split.

    Returns:
        The data set, its images brought to the network's size.

    Raises:
        DataError: there is no such data set, it cannot be prepared, it is not for image classification, or its images
            have no labels. Some pictures in the folder cannot be read.
    """
    if name.startswith(PREFIX):
        if data_dir is not None:
            raise DataError(
                "data_dir", f"is not for {PREFIX}PATH, which says itself where its pictures are: leave it out."
            )
        source = open_folder(name, image_size, validation)
    else:
        source = catalog.open_named(name, image_size, None if data_dir is None else Path(data_dir), validation)
    return _fitted(name, source, image_size)


def _fitted(name: str, source: Source, image_size: tuple[int, int] | None) -> Dataset:
    """The data set with its images brought to the network's size; arguments as for `load`."""
    pictures, channels = source.shape[:2], source.shape[2]
    height, width = require_size(name, source.shape, image_size)
    fit = choose_fit(pictures, (height, width))

    def small(part: Part) -> bool:
        return part.count * height * width * channels <= _CACHE_BYTES

    def pixels(part: Part) -> tf.data.Dataset:
        examples = part.pixels().map(
            lambda image, label: (fit_image(image, fit, (height, width)), label),
            num_parallel_calls=2 if small(part) else os.cpu_count(),
        )
        return examples.cache() if small(part) else examples

    return Dataset(
        name=name,
        class_names=source.class_names,
        input_shape=(height, width, channels),
        num_train=source.train.count,
        num_test=source.test.count,
        test_split=source.test.described,
        train_pixels=pixels(source.train),
        test_pixels=pixels(source.test),
        fit=fit,
        train_files=source.train.files() if None in pictures or not small(source.train) else None,
        read_file=source.read_file,
        remark=source.remark,
    )


def describe(name: str) -> tuple[tuple[str, ...], tuple[int | None, int | None, int]]:
    """Tells what a data set is without its images, which need not be on this machine.

    Args:
        name: as for `load`. The pictures of a folder must be here, though.

    Returns:
        The class names, and (height, width, channels) of the images, None for a side that differs among them.

    Raises:
        DataError: there is no such data set, or it is not for image classification.
    """
    if name.startswith(PREFIX):
        source = open_folder(name, (1, 1))
        return source.class_names, source.shape
    return catalog.described(name)


def _scale_image(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return scale(image), label
