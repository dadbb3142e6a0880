"""Opens data sets of TensorFlow Datasets, the digits, and those in folders of IDX files, by their names."""

import contextlib
import difflib
import functools
import os
import socket
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import numpy as np
import requests

from bduo_tf.backend import tf
from bduo_tf.data.digits import Digits
from bduo_tf.data.errors import DataError
from bduo_tf.data.holdout import TEST_FRACTION, held_out
from bduo_tf.data.idx import IDX_NAMES, holds_idx, idx_builder
from bduo_tf.data.images import decode
from bduo_tf.data.source import Part, Source, require_fraction, require_size
from bduo_tf.messages import first_line

import tensorflow_datasets as tfds  # isort: skip

__all__ = ["described", "open_named"]

_LABELS = 64  # so many labels of a split are looked at to know whether its images are labelled


def described(name: str) -> tuple[tuple[str, ...], tuple[int | None, int | None, int]]:
    """The class names and the shape of the images of a data set; see `describe`."""
    image, label = _features(name, _builder(name, None).info)
    return tuple(label.names), tuple(image.shape)


def open_named(name: str, image_size: tuple[int, int] | None, data_dir: Path | None, validation: float) -> Source:
    """Opens a data set, which is downloaded and prepared first if need be. Arguments and errors are those of `load`."""
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    builder = _builder(name, data_dir)
    image, label = _features(name, builder.info)
    require_size(name, image.shape, image_size)
    _prepare(name, builder)
    train, test = _parts(name, builder, validation)
    return Source(tuple(label.names), tuple(image.shape), train, test)


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


@tfds.decode.make_decoder(output_dtype=tf.uint8)
def _pixels(file: tf.Tensor, feature: tfds.features.Image) -> tf.Tensor:
    return tf.ensure_shape(decode(file, feature.shape[-1]), feature.shape)


def _class(label: tf.Tensor, classes: int) -> tf.Tensor:
    """Returns the label; stops the program if it is no class, since on a GPU its loss would be NaN without an error."""
    known = tf.debugging.Assert((label >= 0) & (label < classes), [f"a label is not from 0 to {classes - 1}:", label])
    with tf.control_dependencies([known]):
        return tf.identity(label)


def _read(
    builder: tfds.core.DatasetBuilder, split: str, decoder: tfds.decode.Decoder, chosen: np.ndarray | None = None
) -> tf.data.Dataset:
    """The examples of a split in a fixed order, as pairs of what the decoder makes of the image, and the label.

    Args:
        builder: of a data set that is prepared.
        split: TFDS's expression for the split.
        decoder: of the images.
        chosen: bool, (number of examples,): which examples are wanted; None stands for all of them.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    config = tfds.ReadConfig(options=options, try_autocache=False)

    def pairs(decoder: tfds.decode.Decoder) -> tf.data.Dataset:
        examples = builder.as_dataset(split=split, shuffle_files=False, decoders={"image": decoder}, read_config=config)
        return examples.map(lambda example: (example["image"], example["label"]))

    if chosen is None:
        return pairs(decoder)
    # The others are dropped before they are decoded.
    wanted, feature = tf.constant(chosen), builder.info.features["image"]
    files = pairs(tfds.decode.SkipDecoding()).enumerate().filter(lambda index, _: wanted[index])
    if isinstance(decoder, tfds.decode.SkipDecoding):
        return files.map(lambda _, example: example)
    decoder.setup(feature=feature)
    return files.map(
        lambda _, example: (decoder.decode_example(example[0]), example[1]), num_parallel_calls=os.cpu_count()
    )


def _parts(name: str, builder: tfds.core.DatasetBuilder, validation: float) -> tuple[Part, Part]:
    """The training and the test images; for `validation` see `load`."""
    splits = builder.info.splits
    tests = [split for split in ("test", "validation") if split in splits]
    if "train" not in splits:
        raise DataError("name", f"{name} needs the split 'train', but has {', '.join(splits) or 'none'}.")
    require_fraction(validation)
    _require_labels(name, builder, ["train"], "train on")
    if not tests:
        return _divided_train(name, builder, validation)
    test = _require_labels(name, builder, tests, "evaluate on")
    if validation == 0:
        return _part(builder, "train"), _part(builder, test)
    count = splits["train"].num_examples
    kept = count - round(count * validation)
    if not 0 < kept < count:
        raise DataError("validation", f"{validation} of {count} images leaves nothing to train or to validate on.")
    return _part(builder, f"train[:{kept}]"), _part(builder, f"train[{kept}:]")


def _divided_train(name: str, builder: tfds.core.DatasetBuilder, validation: float) -> tuple[Part, Part]:
    """The parts of a data set that has training images only, of which some of each class are set aside."""
    files = _read(builder, "train", tfds.decode.SkipDecoding())
    labels = np.concatenate(list(files.map(lambda _, label: label).batch(1024).as_numpy_iterator()))
    keys = [str(index).encode() for index in range(len(labels))]
    test = held_out(labels, keys, TEST_FRACTION)
    described = f"{TEST_FRACTION:.0%} of each class of train"
    train = ~test
    if validation:
        rest = np.flatnonzero(train)
        aside = held_out(labels[rest], [keys[index] for index in rest], validation)
        test, described = np.zeros_like(test), f"{validation:g} of the training images"
        test[rest[aside]] = True
        train &= ~test
    if not test.any() or not train.any():
        raise DataError("name", f"{name} has training images only, too few to set some of each class aside.")
    return _part(builder, "train", train), _part(builder, "train", test, described)


def _part(
    builder: tfds.core.DatasetBuilder, split: str, chosen: np.ndarray | None = None, described: str | None = None
) -> Part:
    """The images of a split, or those of them that `chosen` marks."""
    return Part(
        described or split,
        builder.info.splits[split].num_examples if chosen is None else int(chosen.sum()),
        functools.partial(_labelled, builder, split, _pixels(), chosen),
        functools.partial(_labelled, builder, split, tfds.decode.SkipDecoding(), chosen),
    )


def _labelled(
    builder: tfds.core.DatasetBuilder, split: str, decoder: tfds.decode.Decoder, chosen: np.ndarray | None
) -> tf.data.Dataset:
    """What `_read` returns, with each label checked."""
    classes = builder.info.features["label"].num_classes
    return _read(builder, split, decoder, chosen).map(lambda image, label: (image, _class(label, classes)))


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
            f"{name} is not in {builder.data_dir} and cannot be downloaded ({_shown(e)}). "
            f"Without a network, prepare it on another machine and copy that folder{idx}.",
        ) from e
    except (OSError, tf.errors.OpError) as e:
        raise DataError("data_dir", f"{name} cannot be prepared in {builder.data_dir}: {_shown(e)}") from e
    except (AssertionError, ImportError, RuntimeError) as e:
        # TFDS raises these for files that must be downloaded by hand, for missing packages and the like.
        raise DataError("name", f"{name} cannot be prepared: {_shown(e)}") from e


def _shown(error: Exception) -> str:
    return first_line(error)[:300]


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
        raise DataError("name", f"{name!r} cannot be opened: {_shown(e)}") from e
