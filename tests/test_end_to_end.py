"""From a data set to a verified .tflite file, by the two command lines: networks that the demo does not show."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from bduo_tf.conversion.inspection import operators
from bduo_tf.runs import RunFolder
from convert.cli import main as convert
from train.cli import main as train

pytestmark = pytest.mark.slow


def _train_and_convert(network: str, run: Path, *options: str) -> dict:
    """The summary of the conversion of a run of one epoch each."""
    epochs = ["--epochs", "1", "--fine-tune-epochs", "1"]
    assert train([network, "--run", str(run), *epochs, *options]) == 0
    models = RunFolder(run).metrics().models
    assert models["decoupled"].accuracy == pytest.approx(models["coupled"].accuracy, abs=0.01)
    assert convert([str(run)]) == 0
    summary = json.loads((run / "model.json").read_text())
    assert list(summary["verification"]) == ["LCE", "bduo_runtime"]
    for verification in summary["verification"].values():
        assert verification["accuracy"] == pytest.approx(models["fine_tuned"].accuracy, abs=0.01)
    return {**summary, "operators": operators((run / "model.tflite").read_bytes())}


@pytest.fixture
def fashion_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of IDX files in Fashion-MNIST's form, with real digits in them."""
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "prepared"))
    folder = tmp_path / "idx"
    folder.mkdir()
    digits = load_digits()
    images = np.pad(np.repeat(np.repeat(digits.images * 15, 3, 1), 3, 2), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    for prefix, part in (("train", slice(0, 512)), ("t10k", slice(512, 640))):
        for name, values in (("images-idx3", images[part]), ("labels-idx1", digits.target[part].astype(np.uint8))):
            head = struct.pack(f">{1 + values.ndim}I", 0x0800 + values.ndim, *values.shape)
            (folder / f"{prefix}-{name}-ubyte").write_bytes(head + values.tobytes())
    return folder


@pytest.mark.parametrize("network", ["resnet18", "resnet18_block"])
def test_resnet18_on_fashion_mnist(network: str, fashion_mnist: Path, tmp_path: Path) -> None:
    options = ["--dataset", "fashion_mnist", "--data-dir", str(fashion_mnist), "--width", "0.125", "--batch-size", "32"]
    summary = _train_and_convert(network, tmp_path / "run", *options)
    assert summary["verified_on"] == "128 test images of fashion_mnist"
    assert summary["operators"]["LceBconv2d"] == 16
    assert all(len(v["flips"]) == 16 for v in summary["verification"].values())


def test_alexnet_on_digits(tmp_path: Path) -> None:
    summary = _train_and_convert("alexnet", tmp_path / "run", "--dataset", "digits", "--width", "0.125")
    assert summary["operators"]["LceBconv2d"] == 6
    assert all(v["images"] == 360 for v in summary["verification"].values())


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A folder in which ImageNet counts as prepared, of four images each; TFDS's mock makes them up."""
    folder = tmp_path / "tensorflow_datasets"
    builder = tfds.builder("imagenet2012", data_dir=folder)
    template = tfds.core.ShardedFileTemplate(
        data_dir=builder.data_path, dataset_name=builder.name, filetype_suffix="tfrecord"
    )
    builder.info.set_splits(
        tfds.core.SplitDict(
            [
                tfds.core.SplitInfo(name=name, shard_lengths=[4], num_bytes=0, filename_template=template)
                for name in ("train", "validation")
            ]
        )
    )
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)
    return folder


@pytest.mark.parametrize(("network", "width", "binary"), [("resnet18", "1", 16), ("alexnet", "0.25", 6)])
def test_imagenet_sizes(network: str, width: str, binary: int, imagenet: Path, tmp_path: Path) -> None:
    options = ["--dataset", "imagenet2012", "--data-dir", str(imagenet), "--image-size", "224", "--width", width]
    with tfds.testing.mock_data(num_examples=4, data_dir=imagenet):
        summary = _train_and_convert(network, tmp_path / "run", *options, "--batch-size", "2")
    config = RunFolder(tmp_path / "run").config()
    assert config.input_shape == (224, 224, 3)
    assert (len(config.class_names), config.num_train) == (1000, 4)
    assert summary["verified_on"] == "4 test images of imagenet2012"
    assert all(v["agreeing"] == 4 for v in summary["verification"].values())
    assert summary["operators"]["LceBconv2d"] == binary
