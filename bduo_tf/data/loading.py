"""Loads any image-classification data set by its name, its images brought to the network's size."""

import contextlib
import difflib
import os
import socket
import sys
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import requests

from bduo_tf.backend import tf
from bduo_tf.data.digits import Digits
from bduo_tf.data.errors import DataError
from bduo_tf.data.idx import IDX_NAMES, holds_idx, idx_builder
from bduo_tf.data.images import INPUT_RANGE, SCALING, decode, scale
from bduo_tf.fitting import Fit, choose_fit, fit_image

import tensorflow_datasets as tfds  # isort: skip

__all__ = ["Dataset", "describe", "load"]

_CACHE_BYTES = 2**31  # the images of a split are kept in memory if they take no more than that
_LABELS = 64  # so many labels of a split are looked at to know whether its images are labelled


@dataclass(frozen=True)
class Dataset:
    """An image-classification data set, its images brought to the network's size.

    Attributes:
        name: the name with which it was loaded.
        class_names: the name of the class of each label.
        input_shape: (height, width, channels) of every image.
        num_train: the number of training images.
        num_test: the number of test images.
        test_split: TFDS's expression for the test images, such as "test" or "train[90:]".
        train_pixels: the training images, unbatched pairs (uint8 image, int64 label) in a fixed order, kept in memory
            if they are small.
        test_pixels: the test images in the same form.
        fit: the way in which the images were brought to that size, and any other picture is to be.
        train_files: the training images in the same order as unbatched pairs (image file as a string, int64 label).
            They are there if the images differ in size or are too large for memory; otherwise this is None.
        scaling: the formula by which pixels become the network's input.
        input_range: what a black and a white pixel become by that formula.
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
        name: "digits" (scikit-learn's, always available), or a data set of TensorFlow Datasets.
        image_size: (height, width) to which images are brought, see `choose_fit`; None keeps their own size.
        data_dir: a folder of IDX files (for "mnist", "fashion_mnist" and "kmnist"), or the folder in
            which TFDS keeps its data sets; None stands for TFDS's default, ~/tensorflow_datasets.
        validation: the fraction of the training images that takes the place of the test images, so that
            hyperparameters can be chosen without the test split; 0 keeps the test split.

    Returns:
        The data set, its images brought to the network's size.

    Raises:
        DataError: there is no such data set, it cannot be prepared, it is not for image classification, or its images
            have no labels.
    """
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    builder = _builder(name, None if data_dir is None else Path(data_dir))
    image, label = _features(name, builder.info)
    if image_size is None and None in image.shape:
        raise DataError("image_size", f"{name} has images of several sizes: give one (height, width).")
    _prepare(name, builder)
    train_split, test_split = _splits(name, builder, validation)

    height, width = image_size or image.shape[:2]
    shape = (height, width, image.shape[-1])
    classes = label.num_classes
    fit = choose_fit(tuple(image.shape[:2]), (height, width))

    def small(split: str) -> bool:
        return builder.info.splits[split].num_examples * height * width * shape[-1] <= _CACHE_BYTES

    def pixels(split: str) -> tf.data.Dataset:
        examples = _read(builder, split, _pixels()).map(
            lambda image, label: (fit_image(image, fit, (height, width)), _class(label, classes)),
            num_parallel_calls=2 if small(split) else os.cpu_count(),
        )
        return examples.cache() if small(split) else examples

    def files(split: str) -> tf.data.Dataset:
        examples = _read(builder, split, tfds.decode.SkipDecoding())
        return examples.map(lambda file, label: (file, _class(label, classes)))

    return Dataset(
        name=name,
        class_names=tuple(label.names),
        input_shape=shape,
        num_train=builder.info.splits[train_split].num_examples,
        num_test=builder.info.splits[test_split].num_examples,
        test_split=test_split,
        train_pixels=pixels(train_split),
        test_pixels=pixels(test_split),
        fit=fit,
        train_files=files(train_split) if None in image.shape or not small(train_split) else None,
    )


def describe(name: str) -> tuple[tuple[str, ...], tuple[int | None, int | None, int]]:
    """Tells what a data set is without its images, which need not be on this machine.

    Args:
        name: as for `load`.

    Returns:
        The class names, and (height, width, channels) of the images, None for a side that differs among them.

    Raises:
        DataError: there is no such data set, or it is not for image classification.
    """
    image, label = _features(name, _builder(name, None).info)
    return tuple(label.names), tuple(image.shape)


def _features(name: str, info: tfds.core.DatasetInfo) -> tuple[tfds.features.Image, tfds.features.ClassLabel]:
    """The features "image" and "label"; raises a DataError if the data set is not for image classification."""
    features = dict(info.features.items()) if isinstance(info.features, tfds.features.FeaturesDict) else {}
    image, label = features.get("image"), features.get("label")
    if not isinstance(image, tfds.features.Image) or not isinstance(label, tfds.features.ClassLabel):
        raise DataError(
            "name",
            f"{name} is not an image-classification data set: it needs the features 'image' and 'label' "
            f"(a class), but has {', '.join(features) or info.features}.",
        )
    if np.dtype(image.np_dtype) != np.uint8 or image.shape[-1] is None:
        raise DataError("name", f"{name}: images must be uint8 with a known number of channels, not {image}.")
    return image, label


def _scale_image(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return scale(image), label


@tfds.decode.make_decoder(output_dtype=tf.uint8)
def _pixels(file: tf.Tensor, feature: tfds.features.Image) -> tf.Tensor:
    return tf.ensure_shape(decode(file, feature.shape[-1]), feature.shape)


def _class(label: tf.Tensor, classes: int) -> tf.Tensor:
    """Returns the label; stops the program if it is no class, since on a GPU its loss would be NaN without an error."""
    known = tf.debugging.Assert((label >= 0) & (label < classes), [f"a label is not from 0 to {classes - 1}:", label])
    with tf.control_dependencies([known]):
        return tf.identity(label)


def _read(builder: tfds.core.DatasetBuilder, split: str, decoder: tfds.decode.Decoder) -> tf.data.Dataset:
    """The examples of a split in a fixed order, as pairs of what the decoder makes of the image, and the label."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    examples = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders={"image": decoder},
        read_config=tfds.ReadConfig(options=options, try_autocache=False),
    )
    return examples.map(lambda example: (example["image"], example["label"]))


def _splits(name: str, builder: tfds.core.DatasetBuilder, validation: float) -> tuple[str, str]:
    """TFDS's expressions for the training and the test images; for `validation` see `load`."""
    splits = builder.info.splits
    tests = [split for split in ("test", "validation") if split in splits]
    if "train" not in splits or not tests:
        raise DataError(
            "name", f"{name} needs the splits 'train' and 'test' (or 'validation'), but has {', '.join(splits)}."
        )
    if not 0 <= validation < 1:
        raise DataError("validation", f"the fraction must be from 0 to below 1, not {validation}.")
    _require_labels(name, builder, ["train"], "train on")
    test = _require_labels(name, builder, tests, "evaluate on")
    if validation == 0:
        return "train", test
    count = splits["train"].num_examples
    kept = count - round(count * validation)
    if not 0 < kept < count:
        raise DataError("validation", f"{validation} of {count} images leaves nothing to train or to validate on.")
    return f"train[:{kept}]", f"train[{kept}:]"


def _require_labels(name: str, builder: tfds.core.DatasetBuilder, splits: list[str], purpose: str) -> str:
    """Finds the first of the splits whose images are labelled: in the test images of many competitions all are -1.

    Args:
        name: the data set, for messages.
        builder: its builder.
        splits: the splits to choose from.
        purpose: what the split is for, for messages.

    Raises:
        DataError: no split is labelled.
    """
    classes, wrong = builder.info.features["label"].num_classes, []
    for split in splits:
        count = min(_LABELS, builder.info.splits[split].num_examples)
        examples = _read(builder, f"{split}[:{count}]", tfds.decode.SkipDecoding())
        try:
            labels = [int(label) for _, label in examples.as_numpy_iterator()]
        except tf.errors.OpError:
            return split  # a damaged image is reported later, where training or evaluation reads it
        bad = [label for label in labels if not 0 <= label < classes]
        if not bad:
            return split
        wrong.append(f"{split} has labels such as {bad[0]}")
    raise DataError(
        "name", f"{name} has nothing to {purpose}: labels must be from 0 to {classes - 1}, but {' and '.join(wrong)}."
    )


def _builder(name: str, data_dir: Path | None) -> tfds.core.DatasetBuilder:
    """The builder of the data set: the digits', one for IDX files, or TFDS's."""
    if data_dir is not None and not data_dir.is_dir():
        raise DataError("data_dir", f"{data_dir} is not a folder.")
    if data_dir is not None and holds_idx(data_dir):
        if name == "digits":
            return Digits()
        if name in IDX_NAMES:
            return idx_builder(name, data_dir)
        known = ", ".join(IDX_NAMES)
        raise DataError("data_dir", f"{data_dir} holds IDX files, from which {known} can be read, but not {name}.")
    return Digits(data_dir=data_dir) if name == "digits" else _tfds_builder(name, data_dir)


def _prepare(name: str, builder: tfds.core.DatasetBuilder) -> None:
    """Downloads and prepares the data set unless that was done before; raises a DataError if it cannot be done."""
    if builder.is_prepared():
        return
    try:
        _resolve_hosts(builder)
        # What TFDS prints to stdout is no result of a command. It goes to the stderr of other packages' messages,
        # which the commands hide.
        with contextlib.redirect_stdout(sys.__stderr__):
            builder.download_and_prepare()
    except DataError:
        raise
    except (tfds.download.DownloadError, requests.RequestException, socket.gaierror) as e:
        idx = ", or give a folder of IDX files as data_dir" if name in IDX_NAMES else ""
        raise DataError(
            "name",
            f"{name} is not in {builder.data_dir} and cannot be downloaded ({_first_line(e)}). "
            f"Without a network, prepare it on another machine and copy that folder{idx}.",
        ) from e
    except (OSError, tf.errors.OpError) as e:
        raise DataError("data_dir", f"{name} cannot be prepared in {builder.data_dir}: {_first_line(e)}") from e
    except (AssertionError, ImportError, RuntimeError) as e:
        # TFDS raises these for files that must be downloaded by hand, for missing packages and the like.
        raise DataError("name", f"{name} cannot be prepared: {_first_line(e)}") from e


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def _resolve_hosts(builder: tfds.core.DatasetBuilder) -> None:
    """Raises an error at once where there is no network, for which TFDS would try again for minutes."""
    if not urllib.request.getproxies():
        for host in {urllib.parse.urlsplit(url).hostname for url in builder.url_infos or ()}:
            socket.getaddrinfo(host, None)


def _tfds_builder(name: str, data_dir: Path | None) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as e:
        known = [n for n in tfds.list_builders(with_community_datasets=False) if not n.endswith("_idx")]
        close = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see https://www.tensorflow.org/datasets/catalog."
        raise DataError(
            "name", f"unknown data set {name!r}: it is neither 'digits' nor one of TensorFlow Datasets'; {hint}"
        ) from e
    except (ValueError, OSError, ImportError) as e:
        raise DataError("name", f"{name!r} cannot be opened: {_first_line(e)}") from e
