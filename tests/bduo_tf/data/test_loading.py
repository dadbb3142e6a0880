"""`data.load`: sizes, validation, and the errors of data sets that cannot be loaded."""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from bduo_tf import data
from bduo_tf.backend import tf
from bduo_tf.data.digits import Digits

import tensorflow_datasets as tfds  # isort: skip


def _prepare(name: str, folder: Path, unlabelled: tuple[str, ...] = (), **splits: int) -> None:
    """Prepares a data set of colour images of several sizes in the way in which TFDS prepares its own."""

    def examples(split: str, count: int) -> list[tuple[int, dict[str, Any]]]:
        images = [np.full((20 + i, 30, 3), 255 * (i % 2), np.uint8) for i in range(count)]
        return [(i, {"image": x, "label": -1 if split in unlabelled else i % 2}) for i, x in enumerate(images)]

    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(), "label": tfds.features.ClassLabel(names=["dark", "light"])}
        ),
        split_datasets={split: examples(split, count) for split, count in splits.items()},
        data_dir=folder,
    )


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


def test_resizes_and_scales(tmp_path: Path) -> None:
    dataset = data.load("digits", (32, 24), tmp_path)
    assert dataset.input_shape == (32, 24, 1)
    image, label = next(iter(dataset.train))
    assert image.shape == (32, 24, 1)
    assert image.dtype == tf.float32
    assert -1.0 <= float(tf.reduce_min(image)) < float(tf.reduce_max(image)) <= 1.0
    assert label.dtype == tf.int64


def test_a_prepared_set_of_any_kind(tmp_path: Path) -> None:
    _prepare("photos", tmp_path, train=6, validation=4)
    dataset = data.load("photos", (16, 16), tmp_path)
    assert (dataset.num_train, dataset.num_test, dataset.test_split) == (6, 4, "validation")
    assert dataset.class_names == ("dark", "light")
    for image, label in dataset.test:
        np.testing.assert_array_equal(image, np.full((16, 16, 3), 2.0 * int(label) - 1))
    with pytest.raises(data.DataError, match="several sizes") as error:
        data.load("photos", data_dir=tmp_path)
    assert error.value.argument == "image_size"


def test_of_a_set_without_test_images_some_are_set_aside(tmp_path: Path) -> None:
    _prepare("lone", tmp_path, train=20)
    dataset = data.load("lone", (16, 16), tmp_path)
    assert (dataset.num_train, dataset.num_test, dataset.test_split) == (16, 4, "20% of each class of train")
    assert sorted(int(label) for _, label in dataset.test_pixels) == [0, 0, 1, 1]
    for images in (dataset.train_pixels, dataset.test_pixels):
        for image, label in images:
            np.testing.assert_array_equal(image, np.full((16, 16, 3), 255 * int(label)))
    # Images of this set differ in height, so that these tell which ones they are.
    heights = [
        [
            int(tf.io.extract_jpeg_shape(f)[0] if tf.io.is_jpeg(f) else tf.shape(tf.io.decode_png(f))[0])
            for f, _ in files
        ]
        for files in (dataset.train_files, data.load("lone", (16, 16), tmp_path, validation=0.25).train_files)
    ]
    assert [len(set(part)) for part in heights] == [16, 12]
    assert set(heights[1]) < set(heights[0])


def test_a_set_without_training_images(tmp_path: Path) -> None:
    _prepare("lone", tmp_path, test=6)
    with pytest.raises(data.DataError, match=r"needs the split 'train', but has test") as error:
        data.load("lone", (16, 16), tmp_path)
    assert error.value.argument == "name"


@pytest.mark.parametrize(("unlabelled", "chosen"), [((), "test"), (("test",), "validation"), (("validation",), "test")])
def test_the_labelled_split_is_evaluated(tmp_path: Path, unlabelled: tuple[str, ...], chosen: str) -> None:
    _prepare("contest", tmp_path, unlabelled, train=6, validation=4, test=3)
    dataset = data.load("contest", (16, 16), tmp_path)
    assert dataset.test_split == chosen
    assert sorted(int(label) for _, label in dataset.test) == {"test": [0, 0, 1], "validation": [0, 0, 1, 1]}[chosen]


@pytest.mark.parametrize(
    ("unlabelled", "message"),
    [
        (("test", "validation"), "evaluate on: labels must be from 0 to 1, but test has labels such as -1 and valid"),
        (("train",), "train on: labels must be from 0 to 1, but train has labels such as -1"),
    ],
)
def test_without_labels(tmp_path: Path, unlabelled: tuple[str, ...], message: str) -> None:
    _prepare("contest", tmp_path, unlabelled, train=6, validation=4, test=3)
    with pytest.raises(data.DataError, match=f"contest has nothing to {message}") as error:
        data.load("contest", (16, 16), tmp_path)
    assert error.value.argument == "name"


def test_photographs_are_evaluated_as_pillow_decodes_them(tmp_path: Path) -> None:
    """A JPEG file whose picture has the network's size, so that it is decoded and not resized."""
    picture = Image.fromarray(load_sample_image("china.jpg"))
    picture.save(tmp_path / "china.jpg", quality=95)
    examples = [(0, {"image": tmp_path / "china.jpg", "label": 0})]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="china",
        version="1.0.0",
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(427, 640, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=1),
            }
        ),
        split_datasets={"train": examples, "test": examples},
        data_dir=tmp_path,
    )
    dataset = data.load("china", None, tmp_path)
    assert dataset.fit == data.Fit((427, 640), whole=False)
    for images in (dataset.train_pixels, dataset.test_pixels):
        [(image, _)] = images
        np.testing.assert_array_equal(image, np.asarray(Image.open(tmp_path / "china.jpg")))


def test_validation_comes_from_the_training_images(tmp_path: Path) -> None:
    whole = data.load("digits", data_dir=tmp_path)
    part = data.load("digits", data_dir=tmp_path, validation=0.2)
    assert (part.num_train, part.num_test) == (1150, 287)
    images = [{i.tobytes() for i, _ in d.as_numpy_iterator()} for d in (part.train_pixels, part.test_pixels)]
    assert images[0] | images[1] == {i.tobytes() for i, _ in whole.train_pixels.as_numpy_iterator()}
    with pytest.raises(data.DataError, match="nothing to train"):
        data.load("digits", data_dir=tmp_path, validation=0.0001)


def test_unknown_name_gives_close_ones() -> None:
    with pytest.raises(data.DataError, match=r"did you mean .*fashion_mnist") as error:
        data.load("fashoin_mnist", (32, 32))
    assert error.value.argument == "name"
    assert "_idx" not in str(error.value)


@pytest.mark.usefixtures("no_network")
def test_not_image_classification_is_said_before_any_download() -> None:
    with pytest.raises(data.DataError, match=r"'image' and 'label'.*but has sentence, label, idx"):
        data.load("glue", (32, 32))


@pytest.mark.usefixtures("no_network")
def test_a_set_is_described_without_its_images() -> None:
    names, shape = data.describe("fashion_mnist")
    assert (len(names), names[-1], shape) == (10, "Ankle boot", (28, 28, 1))
    assert data.describe("digits")[1] == (8, 8, 1)
    with pytest.raises(data.DataError, match="'image' and 'label'"):
        data.describe("glue")


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("name", "idx"), [("cifar10", False), ("fashion_mnist", True)])
def test_no_network(tmp_path: Path, name: str, idx: bool) -> None:
    with pytest.raises(data.DataError, match=r"cannot be downloaded .*Name or service not known") as error:
        data.load(name, (32, 32), tmp_path)
    assert str(tmp_path / name) in str(error.value)
    assert ("IDX" in str(error.value)) == idx


def test_data_dir_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(data.DataError, match="is not a folder") as error:
        data.load("fashion_mnist", (32, 32), tmp_path / "nothing")
    assert error.value.argument == "data_dir"


def test_unwritable_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may read every file whatever its permissions, so that the failure is simulated.
    def fail(self: Any) -> None:
        raise PermissionError(13, "Permission denied", self.data_dir)

    monkeypatch.setattr(Digits, "download_and_prepare", fail)
    with pytest.raises(data.DataError, match="Permission denied") as error:
        data.load("digits", data_dir=tmp_path)
    assert error.value.argument == "data_dir"
