"""The MNIST family from a folder of IDX files, for machines that cannot download.

The builders are those of TensorFlow Datasets, but read the folder instead of downloading.
"""

import gzip
import hashlib
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bduo_tf.backend import tf  # noqa: F401  (chooses Keras 2 before TFDS imports TensorFlow)
from bduo_tf.data.errors import DataError

import tensorflow_datasets as tfds  # isort: skip
from tensorflow_datasets.image_classification import mnist  # isort: skip

__all__ = ["IDX_NAMES", "holds_idx", "idx_builder", "read_idx"]

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def _find(folder: Path, name: str) -> Path | None:
    """The file of that name, or the compressed one; None if there is neither."""
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def holds_idx(folder: Path) -> bool:
    """Whether any file of the MNIST family lies in `folder`."""
    return any(_find(folder, name) for names in _FILES.values() for name in names)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Reads an IDX file of unsigned bytes.

    Args:
        path: the file, gzip-compressed if its name ends in .gz.
        dimensions: the number of axes that its array must have: 3 for images, 1 for labels.

    Returns:
        A uint8 array, (count, height, width) or (count,).

    Raises:
        DataError: the file is no IDX file of that kind, or is truncated or too long.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as e:
        raise DataError("data_dir", f"{path} cannot be read, it may be truncated: {e}.") from e
    header = 4 * (1 + dimensions)
    if len(raw) < header:
        raise DataError("data_dir", f"{path} is truncated: {len(raw)} bytes are less than an IDX header.")
    magic, *shape = struct.unpack(f">{1 + dimensions}I", raw[:header])
    if magic != 0x0800 + dimensions:
        raise DataError(
            "data_dir",
            f"{path} is not an IDX file of unsigned bytes in {dimensions} dimension(s): "
            f"its magic number is {magic:#010x}, not {0x0800 + dimensions:#010x}.",
        )
    values = np.frombuffer(raw, np.uint8, offset=header)
    expected = int(np.prod(shape, dtype=np.int64))
    if len(values) != expected:
        kind = "truncated" if len(values) < expected else "too long"
        raise DataError("data_dir", f"{path} is {kind}: {len(values)} bytes of values, its header says {expected}.")
    return values.reshape(shape)


class _FromFolder(mnist.MNIST):
    """A builder of the MNIST family that reads `builder_config.folder` instead of downloading."""

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = self.builder_config.folder
        return {split: self._generate_examples(*self._read(folder, *names)) for split, names in _FILES.items()}

    def _read(self, folder: Path, images_name: str, labels_name: str) -> tuple[np.ndarray, np.ndarray]:
        """Reads the images (count, 28, 28, 1) and labels (count,) of a split; raises a DataError if they do not fit."""
        images_path, labels_path = (_required(folder, name) for name in (images_name, labels_name))
        images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
        if images.shape[1:] != mnist.MNIST_IMAGE_SHAPE[:2]:
            raise DataError("data_dir", f"{images_path} holds images of {images.shape[1:]} pixels, not 28x28.")
        if len(images) != len(labels):
            raise DataError(
                "data_dir", f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels."
            )
        classes = self.info.features["label"].num_classes
        if len(labels) == 0 or labels.max() >= classes:
            raise DataError("data_dir", f"{labels_path} must hold labels from 0 to {classes - 1}.")
        return images[..., None], labels

    def _generate_examples(self, images: np.ndarray, labels: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield index, {"image": image, "label": int(label)}


class MnistIdx(_FromFolder, mnist.MNIST):
    """MNIST from IDX files."""


class FashionMnistIdx(_FromFolder, mnist.FashionMNIST):
    """Fashion-MNIST from IDX files."""


class KmnistIdx(_FromFolder, mnist.KMNIST):
    """Kuzushiji-MNIST from IDX files."""


_BUILDERS = {"mnist": MnistIdx, "fashion_mnist": FashionMnistIdx, "kmnist": KmnistIdx}
IDX_NAMES = tuple(_BUILDERS)
"""The data sets that can be read from a folder of IDX files."""


class _FolderConfig(tfds.core.BuilderConfig):
    """Names the data set that TFDS prepares after the files' contents, so that two folders are never confused."""

    def __init__(self, folder: Path) -> None:
        digest = hashlib.sha256()
        for names in _FILES.values():
            for name in names:
                digest.update(_required(folder, name).read_bytes())
        super().__init__(name=digest.hexdigest()[:16])
        self.folder = folder


def _required(folder: Path, name: str) -> Path:
    """The file of that name, compressed or not; raises a DataError if it is missing."""
    path = _find(folder, name)
    if path is None:
        raise DataError("data_dir", f"{folder / name} (or {name}.gz) is missing.")
    return path


def idx_builder(name: str, folder: Path, data_dir: str | None = None) -> tfds.core.DatasetBuilder:
    """A TFDS builder of a data set from the IDX files in a folder.

    Args:
        name: the data set, one of `IDX_NAMES`.
        folder: the folder that holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
            t10k-labels-idx1-ubyte, each as it is or compressed as .gz.
        data_dir: the folder that TFDS prepares the data set in; None stands for TFDS's default.

    Raises:
        DataError: a file is missing. That a file is damaged is found, and raised, when the builder prepares.
    """
    # TFDS warns of a configuration that its class does not list; this one depends on a folder, so it cannot be listed.
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return _BUILDERS[name](config=_FolderConfig(folder), data_dir=data_dir)
    finally:
        logger.setLevel(level)
