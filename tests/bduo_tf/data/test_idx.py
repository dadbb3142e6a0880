"""Folders of IDX files: what is read from good ones, and which errors bad ones raise."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from bduo_tf import data
from bduo_tf.data.idx import holds_idx, read_idx

TRAIN, TEST = 23, 7


def _idx(values: np.ndarray) -> bytes:
    return struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape) + values.tobytes()


def _write(folder: Path, seed: int = 0, *, compress: bool = False) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        written[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        written[f"{prefix}-labels-idx1-ubyte"] = rng.integers(0, 10, count, np.uint8)
    for name, values in written.items():
        raw = _idx(values)
        (folder / (name + ".gz" * compress)).write_bytes(gzip.compress(raw) if compress else raw)
    return written


@pytest.fixture(autouse=True)
def _prepared_files_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "prepared"))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist"])
def test_reads_what_was_written(tmp_path: Path, name: str, compress: bool) -> None:
    written = _write(tmp_path / "idx", compress=compress)
    assert holds_idx(tmp_path / "idx")
    dataset = data.load(name, (32, 32), tmp_path / "idx")
    assert (dataset.num_train, dataset.num_test) == (TRAIN, TEST)
    assert dataset.input_shape == (32, 32, 1)
    read = list(dataset.test_pixels.as_numpy_iterator())
    expected = {
        np.pad(image, 2).tobytes(): int(label)
        for image, label in zip(written["t10k-images-idx3-ubyte"], written["t10k-labels-idx1-ubyte"], strict=True)
    }
    assert {image.tobytes(): int(label) for image, label in read} == expected


def test_names_the_classes(tmp_path: Path) -> None:
    _write(tmp_path / "idx")
    assert data.load("fashion_mnist", data_dir=tmp_path / "idx").class_names[9] == "Ankle boot"


def test_prepared_copies_are_not_confused(tmp_path: Path) -> None:
    for seed in (1, 2):
        _write(tmp_path / str(seed), seed)
    pixels = [
        {image.tobytes() for image, _ in data.load("mnist", data_dir=tmp_path / folder).test_pixels.as_numpy_iterator()}
        for folder in ("1", "2", "1")
    ]
    assert pixels[0] == pixels[2]
    assert not pixels[0] & pixels[1]


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _headless(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3])


def _too_long(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def _other_type(path: Path) -> None:
    path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "missing"),
        (_truncated, "is truncated: .* its header says"),
        (_headless, "is truncated: 3 bytes"),
        (_too_long, "too long"),
        (_other_type, "not an IDX file"),
    ],
)
@pytest.mark.parametrize(
    "name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]
)
def test_damage_names_the_file(tmp_path: Path, name: str, damage, message: str) -> None:
    _write(tmp_path / "idx")
    damage(tmp_path / "idx" / name)
    with pytest.raises(data.DataError, match=f"{name}.*{message}") as error:
        data.load("fashion_mnist", (32, 32), tmp_path / "idx")
    assert error.value.argument == "data_dir"


def test_damaged_gzip(tmp_path: Path) -> None:
    _write(tmp_path / "idx", compress=True)
    _truncated(tmp_path / "idx" / "t10k-images-idx3-ubyte.gz")
    with pytest.raises(data.DataError, match=r"t10k-images-idx3-ubyte.gz.*truncated"):
        data.load("mnist", (32, 32), tmp_path / "idx")


def test_images_and_labels_must_match(tmp_path: Path) -> None:
    _write(tmp_path / "idx")
    labels = tmp_path / "idx" / "train-labels-idx1-ubyte"
    labels.write_bytes(_idx(np.zeros(TRAIN - 1, np.uint8)))
    with pytest.raises(data.DataError, match=r"23 images.*train-labels-idx1-ubyte 22 labels"):
        data.load("mnist", (32, 32), tmp_path / "idx")
    labels.write_bytes(_idx(np.full(TRAIN, 10, np.uint8)))
    with pytest.raises(data.DataError, match="train-labels-idx1-ubyte must hold labels from 0 to 9"):
        data.load("mnist", (32, 32), tmp_path / "idx")


def test_images_must_be_28_pixels(tmp_path: Path) -> None:
    _write(tmp_path / "idx")
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(_idx(np.zeros((TRAIN, 27, 28), np.uint8)))
    with pytest.raises(data.DataError, match=r"train-images-idx3-ubyte holds images of \(27, 28\)"):
        data.load("mnist", (32, 32), tmp_path / "idx")


def test_a_failed_preparation_leaves_nothing_behind(tmp_path: Path) -> None:
    written = _write(tmp_path / "idx")
    path = tmp_path / "idx" / "t10k-labels-idx1-ubyte"
    _truncated(path)
    with pytest.raises(data.DataError):
        data.load("mnist", data_dir=tmp_path / "idx")
    path.write_bytes(_idx(written[path.name]))
    assert data.load("mnist", data_dir=tmp_path / "idx").num_test == TEST


def test_other_sets_are_refused(tmp_path: Path) -> None:
    _write(tmp_path / "idx")
    with pytest.raises(data.DataError, match=r"mnist, fashion_mnist, kmnist.* not cifar10"):
        data.load("cifar10", (32, 32), tmp_path / "idx")


def test_read_idx_shape(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(_idx(values))
    np.testing.assert_array_equal(read_idx(tmp_path / "a", 3), values)
    with pytest.raises(data.DataError, match="in 1 dimension"):
        read_idx(tmp_path / "a", 1)
